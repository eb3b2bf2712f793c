/* Unit tests of the shim: each file has an array of them. */
#ifndef SHIM_TEST_H
#define SHIM_TEST_H

#include <stdbool.h>
#include <stddef.h>

struct test {
  /* A sentence. NULL ends the array. */
  const char *title;
  void (*run)(void);
};

extern const struct test wire_tests[], table_tests[], plan_tests[], notes_tests[], request_tests[], loop_tests[];
extern const struct test cgroup_tests[], container_tests[];

/* Counts a failure of the running test and prints where it is. */
void check(bool holds, const char *file, int line, const char *condition);

#define CHECK(condition) check((condition), __FILE__, __LINE__, #condition)

#endif
