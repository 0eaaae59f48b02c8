// Checking the store and healing it: what is damaged and cannot be made again from the rest is
// fetched from the registry the image came from. Worker only.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "net/registry/credentials.h"
#include "net/registry/options.h"
#include "store/store.h"

namespace wherry::engine {

struct CheckRequest {
  store::CheckDepth depth = store::CheckDepth::kContent;
  bool repair = false;
  std::map<std::string, registry::Credentials> credentials;  // by normalised host
  std::shared_ptr<std::atomic<bool>> cancel;
};

struct CheckReport {
  store::CheckCount count;            // of the first look
  uint64_t left = 0;                  // damaged things of the last look
  std::vector<std::string> failures;  // why an image could not be repaired, a sentence each
};

// Called on the worker; false cancels.
class CheckListener {
 public:
  virtual ~CheckListener() = default;
  // `names`: of the images that need it; their IDs where they have no name.
  virtual bool OnDamage(const store::Damage& damage, const std::vector<std::string>& names) = 0;
  virtual bool OnProgress(const store::CheckCount& count) = 0;
  virtual bool OnStatus(std::string_view text) = 0;
};

// kCancelled; what could not be repaired is in the report.
Result<CheckReport> CheckStore(store::Store& store, const registry::Options& options,
                               const CheckRequest& request, CheckListener& listener);

// Without anybody who asked: what is damaged is taken out of use; each thing is a sentence in the
// log. `go_on` is called on this thread, after each file and piece; false cancels (kCancelled).
using GoOn = std::function<bool(const store::CheckCount&)>;
Result<> CheckAndSetAside(store::Store& store, store::CheckDepth depth, const GoOn& go_on);

std::string_view DamageName(store::DamageKind kind);

}  // namespace wherry::engine
