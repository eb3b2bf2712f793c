/* A FastCGI application in C: prints the request method and path, the posted body and its uid. */
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

int main(void) {
  while (FCGI_Accept() >= 0) {
    static char body[65536];
    long length = atol(variable("CONTENT_LENGTH"));
    size_t got = 0;
    if (length > 0 && length < (long)sizeof body) got = fread(body, 1, length, stdin);
    printf("Content-Type: text/plain\r\n\r\n%s %s %.*s by %d", variable("REQUEST_METHOD"), variable("PATH_INFO"),
           (int)got, body, (int)getuid());
  }
  return 0;
}
