// The one file that says how far an update is: two copies of 4 KiB, of which the newer valid one
// counts. Storing overwrites the other copy in place and waits for the device, so that a cut of the
// power leaves the record before or the record after. No rename, no journal, no growth.
// One thread at a time.
//
// A copy: "wherryR1", u64 number, u32 length, payload, SHA-256 of all before; little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::ota {

class RecordFile {
 public:
  static constexpr size_t kMaxPayload = 4096 - 8 - 8 - 4 - 32;

  // A file that is not there is made by the first Store. kCorrupt when neither copy is valid.
  static Result<RecordFile> Open(std::string path);
  // Nothing is stored yet, whatever is under that name: the first Store takes its place.
  explicit RecordFile(std::string path) : path_(std::move(path)) {}

  const std::string& payload() const { return payload_; }  // empty: nothing was stored yet
  uint64_t number() const { return number_; }              // grows by one with each Store

  // kInvalid for more than kMaxPayload bytes.
  Result<> Store(std::string payload);

 private:
  Result<> Create(std::string_view copy);

  std::string path_;
  UniqueFd file_;
  std::string payload_;
  uint64_t number_ = 0;
};

}  // namespace wherry::ota
