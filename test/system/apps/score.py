"""A WSGI application (PEP 3333): prints the request method and path, the posted body and its uid."""
import os


def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    said = "%s %s %s by %d" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], body.decode(), os.getuid())
    return [said.encode()]
