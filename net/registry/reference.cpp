#include "net/registry/reference.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::registry {

namespace {

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kLibrary = "library/";
constexpr size_t kMaxRepository = 255;
constexpr size_t kMaxTag = 128;

bool IsLowerAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool IsAlnum(char c) {
  return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z');
}

// path-component: alphanumeric runs joined by one '.', one or two '_', or any number of '-'.
bool IsComponent(std::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back()))
    return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && text[end] == text[i])
      ++end;
    size_t most = text[i] == '.' ? 1 : text[i] == '_' ? 2 : text[i] == '-' ? text.size() : 0;
    if (end - i > most || end == text.size() || !IsLowerAlnum(text[end]))
      return false;
    i = end;
  }
  return true;
}

bool IsTag(std::string_view text) {
  if (text.empty() || text.size() > kMaxTag || text[0] == '.' || text[0] == '-')
    return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsPort(std::string_view text) {
  auto port = ParseUint(text);
  return port && *port >= 1 && *port <= 65535;
}

bool IsHostName(std::string_view text) {
  for (std::string_view label : Split(text, '.')) {
    if (label.empty() || !IsAlnum(label.front()) || !IsAlnum(label.back()))
      return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return IsAlnum(c) || c == '-'; }))
      return false;
  }
  return true;
}

// host[:port] or [v6][:port]
bool IsRegistry(std::string_view text) {
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == std::string_view::npos || end < 3)
      return false;
    std::string_view inside = text.substr(1, end - 1);
    if (inside.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos)
      return false;
    std::string_view rest = text.substr(end + 1);
    return rest.empty() || (rest[0] == ':' && IsPort(rest.substr(1)));
  }
  auto split = SplitFirst(text, ':');
  if (!split)
    return IsHostName(text);
  return IsHostName(split->head) && IsPort(split->tail);
}

// Docker's rule: the first component is a registry when it looks like one.
bool LooksLikeRegistry(std::string_view first) {
  if (first == "localhost" || first.find_first_of(".:") != std::string_view::npos ||
      first.starts_with('['))
    return true;
  return std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::unexpected<Error> Bad(std::string_view text, std::string_view why) {
  constexpr size_t kShown = 100;
  std::string shown(text.substr(0, kShown));
  for (char& c : shown) {
    if (c < ' ' || c >= 0x7f)
      c = '?';
  }
  return Fail(Errc::kInvalid, Cat("invalid reference format: '", shown, "': ", why));
}

Result<> CheckRepository(std::string_view text, std::string_view repository) {
  if (repository.size() > kMaxRepository) {
    return Bad(text, Cat("the repository name has more than ", kMaxRepository, " characters"));
  }
  for (std::string_view component : Split(repository, '/')) {
    if (IsComponent(component))
      continue;
    if (component.empty())
      return Bad(text, "a part of the repository name is empty");
    std::string lower = ToLower(component);
    if (lower != component && IsComponent(lower))
      return Bad(text, "the repository name must be lowercase");
    return Bad(
        text,
        "the repository name may have lowercase letters, digits, and '.', '_', '-' between them");
  }
  return {};
}

}  // namespace

std::string NormaliseHost(std::string_view host) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (host.starts_with(scheme))
      host.remove_prefix(scheme.size());
  }
  host = host.substr(0, host.find('/'));
  if (host.empty() || host == "index.docker.io" || host == "registry-1.docker.io")
    return std::string(kHub);
  return std::string(host);
}

Result<Reference> Reference::Parse(std::string_view text) {
  Reference reference;
  std::string_view rest = text;
  if (rest.empty())
    return Bad(text, "the name is empty");
  if (rest.starts_with("https://") || rest.starts_with("http://"))
    return Bad(text, "leave out 'https://'");
  if (auto at = SplitLast(rest, '@')) {
    auto digest = Digest::Parse(at->tail);
    if (!digest)
      return Bad(text, digest.error().message());
    reference.digest = *digest;
    rest = at->head;
  }
  size_t slash = rest.find('/');
  if (slash != std::string_view::npos && LooksLikeRegistry(rest.substr(0, slash))) {
    if (!IsRegistry(rest.substr(0, slash)))
      return Bad(text, "what is before the first '/' is not a host or host:port");
    reference.registry = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
  }
  if (auto colon = SplitLast(rest, ':'); colon && colon->tail.find('/') == std::string_view::npos) {
    if (!IsTag(colon->tail))
      return Bad(text, "a tag has at most 128 letters, digits, '_', '.' and '-'");
    reference.tag = colon->tail;
    rest = colon->head;
  }
  if (reference.registry.empty() || reference.registry == "index.docker.io")
    reference.registry = kHub;
  TRY(CheckRepository(text, rest));
  bool bare_id =
      rest.size() == 64 && rest.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (bare_id && reference.registry == kHub)
    return Bad(text, "64 hexadecimal characters are an image ID, not a name");
  bool official = reference.registry == kHub && rest.find('/') == std::string_view::npos;
  reference.repository = official ? Cat(kLibrary, rest) : std::string(rest);
  if (reference.tag.empty() && !reference.digest)
    reference.tag = "latest";
  return reference;
}

std::string Reference::TagOrDigest() const {
  return digest ? digest->string() : tag;
}

std::string Reference::Canonical() const {
  std::string name = Cat(registry, "/", repository);
  return digest ? Cat(name, "@", digest->string()) : Cat(name, ":", tag);
}

std::string Reference::FamiliarRepository() const {
  if (registry != kHub)
    return Cat(registry, "/", repository);
  std::string_view name = repository;
  if (name.starts_with(kLibrary))
    name.remove_prefix(kLibrary.size());
  return std::string(name);
}

std::string Reference::Familiar() const {
  std::string name = FamiliarRepository();
  return digest ? Cat(name, "@", digest->string()) : Cat(name, ":", tag);
}

}  // namespace wherry::registry
