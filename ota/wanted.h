// What was wanted last, by topic, as far as it has to outlive the process: the number of each
// document, below which none is taken any more, and the deployment that was taken or refused, which
// happens once. Blocks on flash; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "ota/desired.h"

namespace wherry::ota {

class WantedMarks {
 public:
  // A damaged file costs the protection against replays until the next document, with a line in the
  // log.
  explicit WantedMarks(std::string path);

  struct Taken {
    Desired desired;
    bool settled = false;  // this deployment was, before
  };
  // Verifies and remembers a document. kDenied for a foreign key, and for a number that is lower
  // than one before.
  Result<Taken> Take(const std::string& topic, std::string_view envelope,
                     std::span<const PublicKey> keys);
  Result<> Settle(const std::string& topic, std::string_view deployment);

 private:
  struct Mark {
    uint64_t sequence = 0;
    std::string settled;
  };
  Result<> Keep();

  std::string path_;
  std::map<std::string, Mark> marks_;
};

}  // namespace wherry::ota
