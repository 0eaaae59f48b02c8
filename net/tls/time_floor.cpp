#include "net/tls/time_floor.h"

#include <sys/timex.h>

#include <atomic>

#include "core/base/time.h"

namespace wherry::tls {

namespace {

// 2026-11-01, raised with each release: no device runs this version before it.
constexpr int64_t kMade = 1'793'491'200;

std::atomic<int64_t> floor_seconds = kMade;

}  // namespace

void RaiseTimeFloor(int64_t unix_seconds) {
  int64_t known = floor_seconds;
  while (known < unix_seconds && !floor_seconds.compare_exchange_weak(known, unix_seconds)) {
  }
}

int64_t TimeFloor() {
  return floor_seconds;
}

bool ClockIsKept() {
  timex state{};
  return adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
}

Moment MomentOf(int64_t clock, bool clock_is_kept, int64_t floor) {
  if (clock >= floor || clock_is_kept)
    return {clock, false};
  return {floor, true};
}

Moment JudgedAt() {
  return MomentOf(UnixNanosNow() / 1'000'000'000, ClockIsKept(), floor_seconds);
}

uint32_t CheckedAt(const mbedtls_x509_crt& certificate, const Moment& moment, uint32_t flags) {
  constexpr uint32_t kTimeFlags = MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
  mbedtls_x509_time now;
  if (mbedtls_x509_time_gmtime(static_cast<mbedtls_time_t>(moment.unix_seconds), &now) != 0)
    return flags | kTimeFlags;
  flags &= ~kTimeFlags;
  if (mbedtls_x509_time_cmp(&certificate.valid_to, &now) < 0)
    flags |= MBEDTLS_X509_BADCERT_EXPIRED;
  if (!moment.at_least && mbedtls_x509_time_cmp(&certificate.valid_from, &now) > 0)
    flags |= MBEDTLS_X509_BADCERT_FUTURE;
  return flags;
}

}  // namespace wherry::tls
