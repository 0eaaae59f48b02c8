// For monitoring: /metrics, /healthz.
#include "engine/api/api.h"
#include "engine/api/metrics.h"

namespace wherry::engine::api {

namespace {

void ShowMetrics(const Services& services, Call call) {
  call.exchange->Reply(200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                       services.metrics->Text(services));
}

// The loop answers: the daemon is alive.
void ShowHealth(const Services&, Call call) {
  call.exchange->Reply(200, {{"Content-Type", "text/plain; charset=utf-8"}}, "ok\n");
}

constexpr Route kRoutes[] = {
    {"GET", "/metrics", ShowMetrics},
    {"GET", "/healthz", ShowHealth},
};

}  // namespace

std::span<const Route> MetricsRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
