// The environment of U-Boot as fw_printenv and fw_setenv see it: the same configuration file,
// format and locks. Redundant copies (crc32, flags, data) are written in turn, so that a cut of the
// power leaves the environment before or the one after; a single copy (crc32, data) is written in
// place, which no cut may meet. Files, block devices and partitions; raw flash (/dev/mtd*, UBI) is
// not supported. Blocking; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"

namespace wherry::board {

class UbootEnv {
 public:
  using Variables = std::map<std::string, std::string, std::less<>>;
  using Setting = std::pair<std::string_view, std::string_view>;  // an empty value: removed

  // Reads a fw_env.config: one or two lines DEVICE OFFSET SIZE, numbers decimal, octal or 0x hex,
  // an offset below 0 counted from the end. kInvalid naming the line; kUnsupported for raw flash.
  static Result<UbootEnv> Open(const std::string& config_file);

  // Two copies: a store survives a cut of the power.
  bool redundant() const { return places_.size() == 2; }

  // kCorrupt when no copy is valid: what U-Boot would fall back to, only U-Boot knows.
  Result<Variables> Read() const;

  // All settings by one store, on the device and read back when it returns; nothing is written when
  // all are so already. kCorrupt as Read; kBusy when another program keeps the lock.
  Result<> Store(std::span<const Setting> settings) const;

 private:
  struct Place {
    std::string device;
    int64_t offset = 0;  // below 0: from the end
    size_t size = 0;     // with the header
  };
  struct Copy {
    std::string data;  // without the header
    uint8_t flags = 0;
  };
  struct Newest {
    size_t place = 0;
    Copy copy;
  };

  explicit UbootEnv(std::vector<Place> places) : places_(std::move(places)) {}
  static Result<Place> ParseLine(std::string_view line);
  size_t HeaderSize() const { return redundant() ? 5 : 4; }
  Result<std::optional<Copy>> ReadCopy(const Place& place) const;
  Result<Newest> Choose() const;
  Result<> WriteCopy(const Place& place, const Copy& copy) const;

  std::vector<Place> places_;
};

}  // namespace wherry::board
