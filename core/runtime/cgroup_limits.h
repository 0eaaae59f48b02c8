// From the resources of an OCI configuration to the files of a cgroup v2 directory: which file gets
// which text. Pure, so that every conversion can be tested without a kernel. Internal to
// core/runtime.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/oci/runtime_spec.h"

namespace wherry::runtime {

enum class IfMissing : uint8_t {
  kError,   // the limit cannot be kept: say why
  kIgnore,  // nothing is lost (no swap control, and no limit asked for)
};

struct CgroupWrite {
  std::string file;   // "memory.max"
  std::string value;  // "33554432"
  IfMissing if_missing = IfMissing::kError;

  // "memory" of "memory.max".
  std::string_view Controller() const { return std::string_view(file).substr(0, file.find('.')); }
};

// Where the host's I/O scheduler takes weights: BFQ has a file and a scale of its own.
enum class IoWeightFile : uint8_t { kCost, kBfq };

// In the order in which they are to be written; values from `unified` come last and win. kInvalid
// naming the field for values that make no sense.
Result<std::vector<CgroupWrite>> LimitWrites(const oci::LinuxResources& resources,
                                             IoWeightFile io_weight);

// What written to the file of `write`, whose content is `content`, undoes it: of files with a line
// for each device that of the device.
std::string FormerValue(const CgroupWrite& write, std::string_view content);

}  // namespace wherry::runtime
