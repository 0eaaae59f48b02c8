#include "net/registry/credentials.h"

#include <fcntl.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "net/registry/credential_helper.h"
#include "net/registry/reference.h"

namespace wherry::registry {

namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr std::string_view kHubKey = "https://index.docker.io/v1/";

// "user:password" in base64, as `auth` holds it.
void DecodeAuth(std::string_view auth, Credentials& credentials) {
  auto text = Base64Decode(auth);
  if (!text)
    return;
  auto split = SplitFirst(*text, ':');
  if (!split)
    return;
  credentials.username = split->head;
  credentials.password = split->tail;
  while (credentials.password.ends_with('\0'))
    credentials.password.pop_back();
}

// How Docker names a host in its files.
std::string FileKey(std::string_view host) {
  return host == "docker.io" ? std::string(kHubKey) : std::string(host);
}

bool SameHost(std::string_view key, std::string_view host) {
  return NormaliseHost(key) == host;
}

Result<JsonDocument> ReadConfig(const std::string& path) {
  auto text = ReadFile(path, kMaxFile);
  if (!text && text.error().code() == Errc::kNotFound)
    return JsonDocument::Parse("{}", path);
  if (!text)
    return std::unexpected(std::move(text).error().Wrap("credentials"));
  return JsonDocument::Parse(Trim(*text).empty() ? std::string_view("{}") : std::string_view(*text),
                             path);
}

// The helper that answers for `host`, empty when the file itself does.
std::string_view HelperFor(JsonValue config, std::string_view host) {
  for (JsonValue helper : config["credHelpers"]) {
    if (SameHost(helper.key(), host))
      return helper.str();
  }
  return config["credsStore"].str();
}

void WriteAuth(JsonWriter& json, std::string_view host, const Credentials& credentials) {
  json.Key(FileKey(host)).Object();
  if (!credentials.username.empty())
    json.Field("auth", Base64Encode(Cat(credentials.username, ":", credentials.password)));
  if (!credentials.identity_token.empty())
    json.Field("identitytoken", credentials.identity_token);
  json.End();
}

// The file's text with the entry of `host` replaced, or removed when `credentials` is null.
std::string Rewritten(JsonValue config, std::string_view host, const Credentials* credentials) {
  JsonWriter json;
  json.Object().Key("auths").Object();
  for (JsonValue auth : config["auths"]) {
    if (!SameHost(auth.key(), host))
      json.Field(auth.key(), auth);
  }
  if (credentials != nullptr)
    WriteAuth(json, host, *credentials);
  json.End();
  for (JsonValue member : config) {
    if (member.key() != "auths")
      json.Field(member.key(), member);
  }
  json.End();
  return Cat(json.text(), "\n");
}

Result<> Write(const std::string& path, std::string_view text) {
  if (auto split = SplitLast(path, '/'))
    TRY_CTX("credentials", MakeDirs(std::string(split->head), 0700));
  auto written = ReplaceFile(path, text, 0600, Durability::kPersistent);
  if (!written)
    return std::unexpected(std::move(written).error().Wrap("credentials"));
  return {};
}

}  // namespace

Credentials CredentialsFromJson(JsonValue object) {
  Credentials credentials;
  credentials.username = object["username"].str();
  credentials.password = object["password"].str();
  credentials.identity_token = object["identitytoken"].str();
  credentials.registry_token = object["registrytoken"].str();
  if (credentials.username.empty())
    DecodeAuth(object["auth"].str(), credentials);
  return credentials;
}

Credentials CredentialsFromHeader(std::string_view header) {
  if (header.empty())
    return {};
  auto text = Base64Decode(header);
  if (!text)
    return {};
  auto document = JsonDocument::Parse(*text, "X-Registry-Auth");
  if (!document)
    return {};
  return CredentialsFromJson(document->root());
}

std::string CredentialsToHeader(const Credentials& credentials) {
  JsonWriter json;
  json.Object();
  if (!credentials.username.empty())
    json.Field("username", credentials.username);
  if (!credentials.password.empty())
    json.Field("password", credentials.password);
  if (!credentials.identity_token.empty())
    json.Field("identitytoken", credentials.identity_token);
  if (!credentials.registry_token.empty())
    json.Field("registrytoken", credentials.registry_token);
  json.End();
  // The URL alphabet, as Docker's clients send it.
  std::string text = Base64Encode(json.text());
  for (char& c : text) {
    if (c == '+')
      c = '-';
    if (c == '/')
      c = '_';
  }
  return text;
}

Result<Credentials> CredentialsFile::Get(std::string_view host) const {
  auto config = TRY(ReadConfig(path_));
  if (std::string_view helper = HelperFor(config.root(), host); !helper.empty()) {
    Credentials found = TRY(AskCredentialHelper(helper, FileKey(host)));
    if (!found.empty())
      return found;
  }
  for (JsonValue auth : config["auths"]) {
    if (SameHost(auth.key(), host))
      return CredentialsFromJson(auth);
  }
  return Credentials();
}

Result<> CredentialsFile::Put(std::string_view host, const Credentials& credentials) const {
  auto config = TRY(ReadConfig(path_));
  std::string_view helper = HelperFor(config.root(), host);
  if (helper.empty())
    return Write(path_, Rewritten(config.root(), host, &credentials));
  TRY(StoreInCredentialHelper(helper, FileKey(host), credentials));
  Credentials none;  // as Docker does: the entry says that there is a login, the helper knows it
  return Write(path_, Rewritten(config.root(), host, &none));
}

Result<bool> CredentialsFile::Remove(std::string_view host) const {
  auto config = TRY(ReadConfig(path_));
  bool present = false;
  for (JsonValue auth : config["auths"])
    present |= SameHost(auth.key(), host);
  if (!present)
    return false;
  std::string_view helper = HelperFor(config.root(), host);
  if (!helper.empty())
    TRY(EraseFromCredentialHelper(helper, FileKey(host)));
  TRY(Write(path_, Rewritten(config.root(), host, nullptr)));
  return true;
}

}  // namespace wherry::registry
