# The web server. It never runs as root, and its root file system is read-only: see compose.yaml.
FROM debian:trixie-slim
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx s6 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 65080 dmhost-nginx \
 && useradd --uid 65080 --gid 65080 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin dmhost-nginx

# Prefix directory of nginx (-p). The admin's vhosts are mounted at vhosts/, a tmpfs at temp/. offered/ and accepted/ are
# shared with the supervisor, which writes only to offered/.
WORKDIR /etc/dmhost-nginx
COPY nginx ./
COPY images/nginx/listen.conf ./
COPY images/nginx/health.conf sites/
COPY images/nginx/health /usr/local/bin/
COPY images/nginx/init images/nginx/services /usr/local/lib/dmhost/services/
RUN mkdir -p vhosts temp offered accepted /var/log/dmhost-sites \
 && mv web-server site-installer site-logs /usr/local/bin/ \
 && sed -i -e 's|@SOCKET@|/run/fastcgi/dmhost-demo/site.sock|' -e 's|@DOCROOT@|/var/lib/dmhost/demo/www|' sites/demo.conf \
 && chmod -R u=rwX,go=rX . && chmod 0755 /usr/local/bin/* /usr/local/lib/dmhost/services /usr/local/lib/dmhost/services/*

USER 65080:65080
EXPOSE 8080
ENTRYPOINT ["/usr/local/lib/dmhost/services/init"]
