#include <stdio.h>

#include "test.h"

static const char *running = "";
static int failures;

void check(bool holds, const char *file, int line, const char *condition) {
  if (holds) return;
  failures++;
  printf("%s:%d: %s\n  does not hold: %s\n", file, line, running, condition);
}

int main(void) {
  const struct test *const all[] = {wire_tests, table_tests, plan_tests, notes_tests, request_tests, loop_tests,
                                    cgroup_tests, container_tests};
  int count = 0;
  for (size_t file = 0; file < sizeof all / sizeof *all; file++) {
    for (const struct test *each = all[file]; each->title != NULL; each++) {
      running = each->title;
      each->run();
      count++;
    }
  }
  printf("%d tests, %d failures\n", count, failures);
  return failures > 0 || count == 0;
}
