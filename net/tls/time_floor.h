// What is known of the time on devices whose clock begins in 1970 at each boot: that it is not
// before a certain point. Of the process, as the clock is. Any thread.
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>

namespace wherry::tls {

// It is this or later, in Unix seconds. Lower than what is known already: no change. At first it is
// the time this version was made.
void RaiseTimeFloor(int64_t unix_seconds);
int64_t TimeFloor();

// True when the kernel's clock is kept by a time server (adjtimex(2)).
bool ClockIsKept();

// At what time a certificate is judged.
struct Moment {
  int64_t unix_seconds = 0;
  bool at_least = false;  // nothing but that it is not before is known
};
// The clock, unless it is behind the floor and not kept by a time server. Pure.
Moment MomentOf(int64_t clock_seconds, bool clock_is_kept, int64_t floor_seconds);
// The same by what this process knows.
Moment JudgedAt();

// `flags` of mbedTLS with what it says about the time replaced by what holds at `moment`. When the
// time is known from below only, a certificate that is not valid yet may be by now: it is taken.
uint32_t CheckedAt(const mbedtls_x509_crt& certificate, const Moment& moment, uint32_t flags);

}  // namespace wherry::tls
