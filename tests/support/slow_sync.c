/* A disk whose syncs take their time: preloaded into a broker, it delays fsync and fdatasync by as many milliseconds as the file says that
 * POSTHOUSE_SLOW_SYNC names. The file is read at every call, so a test changes its mind while the broker runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void delay(void) {
  const char *path = getenv("POSTHOUSE_SLOW_SYNC");
  FILE *file = path ? fopen(path, "r") : NULL;
  long milliseconds = 0;
  if (file) {
    if (fscanf(file, "%ld", &milliseconds) != 1) milliseconds = 0;
    fclose(file);
  }
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

int fdatasync(int descriptor) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  delay();
  return next(descriptor);
}

int fsync(int descriptor) {
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  delay();
  return next(descriptor);
}
