# The supervisor and its tenants' programs. The root file system is read-only: see compose.yaml.
# Node needs libatomic1.

# Builds dist/ from the sources; the image gets nothing else from this stage.
FROM debian:trixie-slim AS build
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends libatomic1 npm gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY .npmrc package.json package-lock.json ./
COPY packages/client/package.json packages/client/
COPY packages/contract/package.json packages/contract/
COPY apps/supervisor/package.json apps/supervisor/
COPY apps/dmctl/package.json apps/dmctl/
# Both secrets may be empty: `ca` holds certificates of a proxy that intercepts TLS, `npmrc` settings for a registry.
RUN --mount=type=secret,id=ca --mount=type=secret,id=npmrc --mount=type=cache,target=/root/.npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --no-audit --no-fund --userconfig /run/secrets/npmrc
COPY build.ts ./
COPY packages packages
COPY apps apps
COPY daemontools daemontools
COPY shim shim
# By its full path: npm 9 removes .bin/node together with the package for the other architecture.
RUN node_modules/node-linux-*/bin/node build.ts --container && strip dist/node

# dmctl as one program for the host, 112 MB, is compressed; in the container dmctl runs on the supervisor's Node.
RUN mkdir -p out/lib out/share/dmhost \
 && (cd dist && sha256sum dmctl) >out/share/dmhost/dmctl.sha256 && gzip <dist/dmctl >out/share/dmhost/dmctl.gz && rm dist/dmctl \
 && mv dist out/lib/dmhost && chmod -R u=rwX,go=rX out

FROM debian:trixie-slim
# Further Debian packages for the tenants, e.g. "python3 libcatalyst-perl". Of Perl the base image has perl-base.
ARG DMHOST_PACKAGES=
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
      libatomic1 s6 execline libnss-extrausers php-cgi $DMHOST_PACKAGES \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

# Ids in a range that Debian reserves, so that no account of the host has them; nginx.Dockerfile uses 65080 too.
RUN groupadd --gid 65080 dmhost-nginx \
 && groupadd --gid 65081 dmhost-demo \
 && useradd --uid 65081 --gid 65081 --home-dir /var/lib/dmhost/demo --no-create-home --shell /usr/sbin/nologin dmhost-demo \
 && mkdir -p /usr/local/share/dmhost /var/log/daemon-manager /var/lib/extrausers /etc/daemon-manager \
 && install -d -m 0700 /var/lib/dmhost/state \
 && install -d -m 0711 -o dmhost-demo -g dmhost-demo /var/lib/dmhost/demo \
 && install -d -m 0750 -o dmhost-demo -g dmhost-demo /var/lib/dmhost/demo/.daemon-manager

COPY --chown=65081:65081 config/demo/www /var/lib/dmhost/demo/www
COPY --chown=65081:65081 config/demo/daemons /var/lib/dmhost/demo/.daemon-manager/daemons
COPY --from=build /build/out /usr/local
COPY images/supervisor /usr/local/lib/dmhost/container

# Link the daemontools commands unless DMHOST_PACKAGES has installed others of the same names. Link the account databases to
# the files that container/init makes from the image's and the host's.
RUN chmod 0755 /usr/local/lib/dmhost/container /usr/local/lib/dmhost/container/* \
 && ln -s /usr/local/lib/dmhost/container/dmctl /usr/local/bin/ \
 && for tool in /usr/local/lib/dmhost/daemontools/*; do \
      case ${tool##*/} in \
        service-id) ;; \
        *) command -v "${tool##*/}" >/dev/null || ln -s "$tool" /usr/local/bin/ || exit 1 ;; \
      esac \
    done \
 && chmod -R u=rwX,go=rX /var/lib/dmhost/demo/www /var/lib/dmhost/demo/.daemon-manager/daemons \
 && sed -i -E 's/^(passwd|group):.*/\1: files extrausers/' /etc/nsswitch.conf \
 && rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- \
 && for base in passwd group; do \
      mv /etc/$base /usr/local/share/dmhost/$base && ln -s /run/accounts/$base /etc/$base || exit 1; \
    done

ENTRYPOINT ["/usr/local/lib/dmhost/container/init"]
