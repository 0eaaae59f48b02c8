// What a build tells its client: JSON lines as Docker's classic builder writes them. Worker.
#pragma once

#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/result.h"
#include "engine/images.h"

namespace wherry::engine {

enum class Quiet : uint8_t { kNo, kYes };

class BuildOutput {
 public:
  // Quiet: only the ID at the end is told.
  BuildOutput(ByteSink sink, Quiet quiet) : sink_(std::move(sink)), quiet_(quiet) {}

  // {"stream":"Step 1/3 : FROM x\n"}. An error: nobody listens any more.
  Result<> Say(std::string_view text);
  // A line of a pull's progress, already JSON.
  bool Pass(std::string_view line);
  // {"aux":{"ID":"sha256:..."}}, and the names.
  Result<> Built(const Digest& id, const std::vector<std::string>& names);
  // {"errorDetail":{"code":3,"message":"..."},"error":"..."}. `code`: of a program; 0: none.
  void Failed(const Error& error, int code);
  bool began() const { return began_; }

 private:
  Result<> Write(std::string_view json);
  ByteSink sink_;
  Quiet quiet_;
  bool began_ = false;
};

}  // namespace wherry::engine
