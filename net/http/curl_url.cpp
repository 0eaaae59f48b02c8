#include "net/http/curl_url.h"

#include <curl/curl.h>

#include <memory>

#include "core/base/text.h"

namespace wherry::http {

namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

constexpr unsigned int kLenient =
    CURLU_URLENCODE | CURLU_ALLOW_SPACE;  // as browsers take a Location

Result<Url> Parse(const std::string& text) {
  Url url(curl_url());
  if (url == nullptr ||
      curl_url_set(url.get(), CURLUPART_URL, text.c_str(), kLenient) != CURLUE_OK) {
    return Fail(Errc::kInvalid, Cat("'", text.substr(0, text.find('?')), "' is not a web address"));
  }
  return url;
}

std::string Part(const Url& url, CURLUPart part, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK)
    return {};
  std::string copy = text;
  curl_free(text);
  return copy;
}

int DefaultPort(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

}  // namespace

std::string Origin::authority() const {
  bool v6 = host.find(':') != std::string::npos;
  std::string name = v6 ? Cat("[", host, "]") : host;
  return port == DefaultPort(scheme) ? name : Cat(name, ":", port);
}

Result<Origin> OriginOf(const std::string& text) {
  Url url = TRY(Parse(text));
  Origin origin;
  origin.scheme = Part(url, CURLUPART_SCHEME);
  origin.host = ToLower(Part(url, CURLUPART_HOST));
  if (origin.host.starts_with('['))
    origin.host = origin.host.substr(1, origin.host.size() - 2);
  auto port = ParseUint(Part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT));
  bool web = origin.scheme == "https" || origin.scheme == "http";
  if (!web || origin.host.empty() || !port) {
    return Fail(Errc::kInvalid, Cat("'", text.substr(0, text.find('?')), "' is not a web address"));
  }
  origin.port = static_cast<int>(*port);
  return origin;
}

Result<std::string> ResolveUrl(const std::string& base, const std::string& location) {
  Url url = TRY(Parse(base));
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), kLenient) != CURLUE_OK) {
    return Fail(Errc::kInvalid,
                Cat("'", location.substr(0, location.find('?')), "' is not a web address"));
  }
  (void)curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
  return Part(url, CURLUPART_URL);
}

}  // namespace wherry::http
