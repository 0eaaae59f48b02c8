#include "net/registry/refusal.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::registry {

namespace {

constexpr std::string_view kBlob = "blob";
constexpr size_t kMaxErrorBody = 16 << 10;
constexpr size_t kMaxQuoted = 200;

constexpr int kPassing[] = {408, 429, 500, 502, 503, 504};

bool IsPassing(int status) {
  return std::find(std::begin(kPassing), std::end(kPassing), status) != std::end(kPassing);
}

// Statuses that mean something else for a push than for a pull.
struct PushRefusal {
  int status;
  Errc code;
  std::string_view text;
};
constexpr PushRefusal kPushRefusals[] = {
    {403, Errc::kDenied, " denies it: this login may not write there"},
    {404, Errc::kNotFound, " does not know this repository, or lets nobody push to it"},
    {405, Errc::kUnsupported, " is read-only"},
    {413, Errc::kNoSpace,
     ", or a proxy before it, takes no requests of this size; raise its limit"},
    {416, Errc::kUnavailable, " has another part of the upload than was sent"},
    {507, Errc::kNoSpace, " has no space left"},
};

// What the registry itself says about its refusal, fit for a message: one short line, or nothing.
std::string OwnWords(http::CurlTransfer& transfer) {
  std::string body = transfer.ReadSome(kMaxErrorBody);
  auto document = JsonDocument::Parse(body, "error");
  if (!document)
    return {};
  JsonValue error = (*document)["errors"].at(0);
  std::string words(error["message"].str(error["code"].str()).substr(0, kMaxQuoted));
  for (char& c : words) {
    if (c < ' ' || c == 0x7f)
      c = ' ';
  }
  return words.empty() ? words : Cat(" (", words, ")");
}

Error LoginError(const Ask& ask, const Reference& reference, bool known) {
  const std::string& host = reference.registry;
  if (reference.repository.empty()) {
    return Error(Errc::kUnauthorized, Cat("registry ", host,
                                          known ? " refuses this user name and password"
                                                : " wants a user name and password"));
  }
  if (!known) {
    return Error(Errc::kUnauthorized,
                 Cat(ask.pushes ? "push" : "pull", " access denied for ", reference.Familiar(),
                     ": it does not exist, or needs a ", "login; run `wherry login ", host, "`"));
  }
  return Error(
      Errc::kUnauthorized,
      Cat(ask.pushes ? "push" : "pull", " access denied for ", reference.Familiar(), ": registry ",
          host, " refuses the ",
          "user name and password, or they give no access; run `wherry login ", host, "`"));
}

}  // namespace

Error StatusError(const Transport::Answer& answer, const Ask& ask, const Reference& reference,
                  bool with_credentials) {
  int status = answer.transfer->status();
  const std::string& host = reference.registry;
  std::string name = reference.repository.empty() ? host : reference.Familiar();
  if (status == 401 && !answer.elsewhere)
    return LoginError(ask, reference, with_credentials);
  std::string words = OwnWords(*answer.transfer);
  if (ask.pushes) {
    for (const PushRefusal& refusal : kPushRefusals) {
      if (refusal.status == status)
        return Error(refusal.code, Cat("push of ", name, ": registry ", host, refusal.text, words));
    }
  }
  switch (status) {
    case 401:
    case 403:
      if (answer.elsewhere) {
        return Error(Errc::kDenied, Cat(answer.host, ", where ", host, " keeps the ", ask.what,
                                        " of ", name, ", denies access with status ", status, words,
                                        "; check this device's clock"));
      }
      return Error(Errc::kDenied, Cat("access denied for ", name, words,
                                      ": this login may not read it; use another one by ",
                                      "`wherry login ", host, "`"));
    case 404:
      if (ask.what.empty())
        return Error(Errc::kNotFound, Cat(host, " is not a registry: it knows no ", ask.path));
      if (ask.what == kBlob) {
        return Error(Errc::kNotFound,
                     Cat("blob unknown: registry ", host, " does not have all parts of ", name,
                         "; push the image again"));
      }
      return Error(Errc::kNotFound, Cat("manifest unknown: ", name, " does not exist in registry ",
                                        host, ", or needs a login; check the name and the tag"));
    case 429: {
      auto seconds = answer.transfer->retry_after().count();
      return Error(
          Errc::kUnavailable,
          Cat("registry ", host, " takes no more requests for now, status 429", words, "; try ",
              "again ", seconds > 0 ? Cat("in ", seconds, " seconds") : std::string("later"),
              with_credentials ? "" : ", or log in"));
    }
    default:
      return Error(IsPassing(status) ? Errc::kUnavailable : Errc::kInvalid,
                   Cat("registry ", host, " answered with status ", status, words,
                       ask.pushes ? " to a push of " : " when asked for ",
                       ask.what.empty() ? ask.path : Cat("the ", ask.what, " of ", name),
                       status >= 500 ? "; it has trouble of its own, try again later" : ""));
  }
}

}  // namespace wherry::registry
