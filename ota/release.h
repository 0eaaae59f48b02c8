// A release: everything that runs on a device, as one signed document. Its format is in
// docs/releases.md. Plain data and pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "net/registry/reference.h"
#include "ota/dsse.h"
#include "ota/policy.h"

namespace wherry::ota {

inline constexpr std::string_view kReleaseType = "application/vnd.wherry.release.v1+json";
// Of the signed document. What is larger is not read.
inline constexpr size_t kMaxRelease = 256 << 10;

enum class Strategy : uint8_t {
  kStopStart,  // the old one ends, the new one starts
  kHandover,   // the new one starts beside the old one and takes its ports over
};

// One way to see that an app works, besides that it runs and its own health check says so.
struct AppCheck {
  enum class Kind : uint8_t { kHttp, kTcp, kCommand };
  Kind kind = Kind::kTcp;
  uint16_t port = 0;                 // of kHttp and kTcp, inside the container
  std::string path;                  // of kHttp; an answer of 200 to 399 is good
  std::vector<std::string> command;  // of kCommand, inside the container; 0 is good
};

struct App {
  std::string name;
  registry::Reference image;  // always with a digest
  std::string config;         // the body of Docker's POST /containers/create, without Image
  std::vector<std::string> after;
  Strategy strategy = Strategy::kStopStart;
  std::chrono::seconds drain{10};  // of kHandover: what the old one has to end its connections
  std::vector<AppCheck> checks;
  std::string lock;  // a file in the container: no update begins while the app holds a lock on it

  // Equal for two apps that a switch from one to the other need not touch.
  Digest Identity() const;
};

// A network or volume the apps share, as Docker's create request wants it.
struct Shared {
  std::string name;
  std::string config;
};

struct OsImage {
  std::string version;
  registry::Reference image;  // of an artifact with one layer: the file system
  uint64_t size = 0;          // of the file system in the slot, in bytes
  Digest digest;              // of those bytes
};

struct Trial {
  std::chrono::seconds soak{60};       // healthy for so long: confirmed
  std::chrono::seconds deadline{300};  // not confirmed in this time: reverted
  uint32_t starts = 3;                 // begun more often (crashes, power cuts): reverted
  uint32_t restarts = 2;               // of one app; more: reverted
};

enum class Download : uint8_t { kAuto, kHold };

struct Release {
  std::string name;
  uint64_t sequence = 0;  // a device takes higher ones only
  uint64_t floor = 0;     // and from then on none below this, not even by hand
  int64_t issued = 0;     // seconds since 1970; the device's clock is never before it
  std::vector<App> apps;  // in an order that begins with those others come after
  std::vector<Shared> networks;
  std::vector<Shared> volumes;
  std::optional<OsImage> os;
  Trial trial;
  Policy policy;

  Digest digest;  // of the signed document: what a release is known by

  // kInvalid naming the member for what is missing, unknown, twice or contradictory. Not verified.
  static Result<Release> Parse(std::string_view json, std::string_view what);

  const App* FindApp(std::string_view app_name) const;
};

// What verifies: the keys a device trusts for releases.
// kDenied when no key of `keys` has signed, kInvalid for what is no release.
Result<Release> OpenRelease(std::string_view envelope, std::span<const PublicKey> keys,
                            std::string_view what);

}  // namespace wherry::ota
