// Documents that come from afar before anything of them is verified, and after: envelopes,
// releases, what is wanted.
#include "ota/desired.h"
#include "ota/release.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)wherry::ota::Envelope::Parse(text, "input");
  if (auto release = wherry::ota::Release::Parse(text, "input")) {
    for (const wherry::ota::App& app : release->apps)
      (void)app.Identity();
  }
  if (auto desired = wherry::ota::Desired::Parse(text, "input"))
    (void)wherry::ota::Desired::Parse(desired->ToJson(), "again");
  return 0;
}
