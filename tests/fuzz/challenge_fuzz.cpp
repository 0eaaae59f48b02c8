// Text that registries and clients send in header fields: challenges, redirects, credentials.
#include <cstdint>

#include "net/http/curl_url.h"
#include "net/registry/auth.h"
#include "net/registry/credentials.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  (void)wherry::registry::ParseChallenges(text);
  (void)wherry::registry::CredentialsFromHeader(text);
  auto url = wherry::http::ResolveUrl("https://registry.example:5000/v2/a/blobs/b", text.c_str());
  if (url)
    (void)wherry::http::OriginOf(*url);
  return 0;
}
