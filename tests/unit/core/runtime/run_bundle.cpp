// run-bundle BUNDLE [--cgroup PATH] [--overlay LOWER[:LOWER...]] [--no-seccomp]: runs the container
// of an OCI bundle through core/runtime, with the caller's standard streams, and exits as it did.
// For developers and benchmarks; not installed.
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/container.h"
#include "core/runtime/identity.h"
#include "core/runtime/seccomp.h"

namespace wherry {
namespace {

struct Arguments {
  std::string bundle;
  std::string cgroup;
  std::optional<sys::OverlayOptions> overlay;
  bool seccomp = true;
};

Arguments ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--no-seccomp") {
      arguments.seccomp = false;
    } else if (word == "--cgroup") {
      arguments.cgroup = value;
      ++i;
    } else if (word == "--overlay") {
      arguments.overlay.emplace();
      for (std::string_view layer : Split(value, ':'))
        arguments.overlay->lower.emplace_back(layer);
      ++i;
    } else {
      arguments.bundle = word;
    }
  }
  if (arguments.overlay) {
    arguments.overlay->upper = arguments.bundle + "/upper";
    arguments.overlay->work = arguments.bundle + "/work";
  }
  return arguments;
}

runtime::StartResult<int> Run(const Arguments& arguments) {
  std::string json = TRY(ReadFile(arguments.bundle + "/config.json"));
  oci::RuntimeSpec spec = TRY(oci::RuntimeSpec::Parse(json));
  runtime::CapabilitySets sets = TRY(runtime::ParseCapabilitySets(spec.process));
  runtime::SeccompFilter filter;
  if (arguments.seccomp)
    filter = runtime::DefaultSeccomp(sets.bounding);
  runtime::ContainerRequest request{"run-bundle", spec, arguments.bundle, {}, {0, 1, 2}, {}, {}};
  request.overlay = arguments.overlay;
  request.cgroup = arguments.cgroup;
  request.seccomp = {filter.code(), filter.flags()};
  runtime::Prepared prepared = TRY(runtime::Prepare(request));
  TRY(prepared.Start());
  sys::PidFd process = prepared.TakeProcess();
  sys::ExitStatus status = TRY(process.Wait());
  if (prepared.cgroup() != nullptr)
    TRY(sys::RemoveCgroup("/sys/fs/cgroup" + prepared.cgroup()->path(), std::chrono::seconds(2)));
  return status.signal != 0 ? 128 + status.signal : status.code;
}

}  // namespace
}  // namespace wherry

int main(int argc, char** argv) {
  auto status = wherry::Run(wherry::ParseArguments(argc, argv));
  if (status)
    return *status;
  fprintf(stderr, "run-bundle: %s\n", status.error().error.message().c_str());
  return status.error().exit_code;
}
