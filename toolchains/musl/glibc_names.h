// What the headers of a libstdc++ built for glibc take for granted and musl does not have. Included
// before everything else (toolchains/musl.cmake). Declared is what only has to compile; a program
// that used it would not link.
#pragma once

// As for the newest: with an older glibc, libstdc++ looks for one of its symbols to tell whether
// there are threads, and would lock nothing.
#define __GLIBC_PREREQ(major, minor) 1

#include <locale.h>
#include <pthread.h>
#include <time.h>

typedef locale_t __locale_t;

// Bits of std::ctype_base::mask, as the tables in libstdc++ have them.
enum {
  _ISupper = 1 << 8,
  _ISlower = 1 << 9,
  _ISalpha = 1 << 10,
  _ISdigit = 1 << 11,
  _ISxdigit = 1 << 12,
  _ISspace = 1 << 13,
  _ISprint = 1 << 14,
  _ISgraph = 1 << 15,
  _ISblank = 1 << 0,
  _IScntrl = 1 << 1,
  _ISpunct = 1 << 2,
  _ISalnum = 1 << 3,
};

// Behind std::timed_mutex.
extern "C" int pthread_mutex_clocklock(pthread_mutex_t*, clockid_t, const struct timespec*);
// Behind std::shared_timed_mutex, which stands in the header of std::shared_mutex.
extern "C" int pthread_rwlock_clockrdlock(pthread_rwlock_t*, clockid_t, const struct timespec*);
extern "C" int pthread_rwlock_clockwrlock(pthread_rwlock_t*, clockid_t, const struct timespec*);

// Behind std::condition_variable::wait_for. musl waits on the clock a condition was made for, which
// is the wall clock for those of libstdc++: when that is set meanwhile, the wait is longer or
// shorter by as much.
extern "C" inline int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                             clockid_t clock, const struct timespec* deadline) {
  struct timespec now, at;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &at);
  at.tv_sec += deadline->tv_sec - now.tv_sec;
  at.tv_nsec += deadline->tv_nsec - now.tv_nsec;
  if (at.tv_nsec < 0) {
    at.tv_nsec += 1000000000;
    --at.tv_sec;
  } else if (at.tv_nsec >= 1000000000) {
    at.tv_nsec -= 1000000000;
    ++at.tv_sec;
  }
  return pthread_cond_timedwait(condition, mutex, &at);
}
