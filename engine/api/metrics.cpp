#include "engine/api/metrics.h"

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

constexpr std::chrono::seconds kKeepText{5};
constexpr std::chrono::minutes kKeepSize{10};

void Add(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  Append(text, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

template <class Number>
void One(std::string& text, std::string_view name, std::string_view type, std::string_view help,
         Number value) {
  Add(text, name, type, help);
  Append(text, name, " ", value, "\n");
}

}  // namespace

Metrics::Metrics(EventBus* events) : events_(events), started_(Uptime()) {
  subscription_ = events_->Subscribe([this](const Event& event) { Count(event); });
}

Metrics::~Metrics() {
  events_->Unsubscribe(subscription_);
}

void Metrics::Count(const Event& event) {
  bool container = event.type == "container";
  pulls_ += event.type == "image" && event.action == "pull" ? 1 : 0;
  starts_ += container && event.action == "start" ? 1 : 0;
  ends_ += container && event.action == "die" ? 1 : 0;
}

std::string Metrics::Text(const Services& services) {
  std::chrono::nanoseconds now = Uptime();
  if (!measuring_ && (!store_bytes_ || now - measured_at_ >= kKeepSize))
    MeasureStore(services);
  if (text_.empty() || now - written_at_ >= kKeepText) {
    text_ = Write(services);
    written_at_ = now;
  }
  return text_;
}

// The daemon's workers and loop end before this does.
void Metrics::MeasureStore(const Services& services) {
  measuring_ = true;
  OnWorker<store::Usage>(
      services, [images = services.images] { return images->Measure(); },
      [this](Result<store::Usage> usage) {
        measuring_ = false;
        measured_at_ = Uptime();
        if (usage)
          store_bytes_ = usage->total_bytes;
        text_.clear();
      });
}

std::string Metrics::Write(const Services& services) const {
  std::string text;
  Add(text, "wherry_engine_info", "gauge", "What runs here.");
  Append(text, "wherry_engine_info{version=\"", WHERRY_VERSION, "\",api_version=\"", kApiVersion,
         "\"} 1\n");
  auto up = std::chrono::duration_cast<std::chrono::seconds>(Uptime() - started_);
  One(text, "wherry_uptime_seconds", "gauge", "Time since the daemon started.", up.count());

  ContainerCounts counts = services.containers->Counts();
  Add(text, "wherry_containers", "gauge", "Containers by state.");
  Append(text, "wherry_containers{state=\"running\"} ", counts.running, "\n");
  Append(text, "wherry_containers{state=\"paused\"} ", counts.paused, "\n");
  Append(text, "wherry_containers{state=\"stopped\"} ", counts.stopped, "\n");
  int64_t restarts = 0;
  for (const ContainerPtr& container : services.containers->All())
    restarts += container->restart_count;
  One(text, "wherry_container_restarts", "gauge",
      "Starts by the restart policy, over all containers that are there.", restarts);
  One(text, "wherry_container_starts_total", "counter", "Containers started.", starts_);
  One(text, "wherry_container_ends_total", "counter", "Containers that ended.", ends_);

  One(text, "wherry_images", "gauge", "Images in the store.", services.images->Count());
  One(text, "wherry_image_pulls_total", "counter", "Images pulled.", pulls_);
  store::WriteCount written = services.images->written();
  One(text, "wherry_store_written_bytes_total", "counter", "Content written to the store.",
      written.content);
  if (store_bytes_)
    One(text, "wherry_store_bytes", "gauge", "What the store takes on the disk.", *store_bytes_);
  return text;
}

}  // namespace wherry::engine::api
