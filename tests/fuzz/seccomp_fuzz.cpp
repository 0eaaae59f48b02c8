// linux.seccomp: any JSON is either refused or becomes a program that the kernel would accept and
// that returns for every system call.
#include <linux/audit.h>

#include <cstdlib>
#include <string_view>

#include "core/base/json.h"
#include "core/runtime/seccomp.h"
#include "tests/unit/core/runtime/bpf_machine.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wherry;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto json = JsonDocument::Parse(text, "profile");
  if (!json)
    return 0;
  auto filter = runtime::CompileSeccomp(json->root(), runtime::kDockerCapabilities);
  if (!filter)
    return 0;
  if (filter->code().empty() || filter->code().size() > BPF_MAXINSNS)
    abort();
  constexpr uint32_t kArches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,
                                  AUDIT_ARCH_ARM};
  for (uint32_t arch : kArches) {
    for (int number : {0, 1, 41, 56, 100, 198, 220, 281, 435, 463, 600, 0x0f0002, 0x40000001, -1}) {
      seccomp_data call{};
      call.arch = arch;
      call.nr = number;
      call.args[0] = call.args[1] = 0x100000026;
      if (!runtime::SeccompMachine(filter->code(), call).Run())
        abort();
    }
  }
  return 0;
}
