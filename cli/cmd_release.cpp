// release keygen, create, sign, verify: what a device runs, as a signed document. No daemon is
// needed but to find the digests of images that are named by tag.
#include <fcntl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/compose/project.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/compose/release_draft.h"
#include "ota/release.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kList = OptionKind::kList;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr int64_t kNanos = 1'000'000'000;
constexpr uint32_t kPrivate = 0600;
constexpr uint32_t kPublic = 0644;

constexpr Option kCreate[] = {
    {"output", 'o', kValue, "FILE", "Write the release to this file"},
    {"sequence", 0, kValue, "N", "Its sequence number; above those before it"},
    {"file", 'f', kList, "FILE", "Compose file: its services are apps of the release"},
    {"profile", 0, kList, "NAME", "Of the compose file, with the services of this profile"},
};
constexpr Option kSign[] = {
    {"key", 0, kValue, "FILE", "Private key on P-256 in PEM"},
    {"output", 'o', kValue, "FILE", "Write the signed release to this file"},
};
constexpr Option kVerify[] = {
    {"key", 0, kList, "FILE", "Public key that may have signed it"},
};

Result<> Write(const Invocation& call, std::string_view text) {
  const std::string& file = call.arguments.Value("output");
  if (file.empty())
    return Print(Cat(text, "\n"));
  return ReplaceFile(file, text, kPublic, Durability::kPersistent);
}

// "name:tag" -> "name@sha256:...", by what the daemon knows of the image.
Result<std::string> Pin(const Invocation& call, std::string_view name) {
  registry::Reference wanted = TRY(registry::Reference::Parse(name));
  if (wanted.digest)
    return wanted.Canonical();
  auto image = TRY(call.client.Get(Target(Cat("/images/", Segment(name), "/json"))));
  for (const std::string& known : image["RepoDigests"].strings()) {
    auto reference = registry::Reference::Parse(known);
    if (reference && reference->registry == wanted.registry &&
        reference->repository == wanted.repository)
      return reference->Canonical();
  }
  return Fail(Errc::kNotFound, Cat(name,
                                   " is in no registry as far as is known here: push it, or "
                                   "name it by digest (name@sha256:...)"));
}

Result<std::string> PinnedApp(const Invocation& call, JsonValue app) {
  JsonWriter json;
  json.Object();
  for (JsonValue member : app) {
    if (member.key() != "image") {
      json.Field(member.key(), member);
      continue;
    }
    std::string image = TRY(Pin(call, member.str()));
    json.Field("image", image);
  }
  json.End();
  return json.Take();
}

// The document with digests in the place of tags, and with what it may leave out.
Result<std::string> Complete(const Invocation& call, JsonValue document) {
  JsonWriter json;
  json.Object();
  if (!document["v"])
    json.Field("v", 1);
  if (!document["issued"])
    json.Field("issued", UnixNanosNow() / kNanos);
  const std::string& sequence = call.arguments.Value("sequence");
  if (!sequence.empty()) {
    uint64_t number = TRY_CTX("--sequence", ParseUint(sequence));
    json.Field("seq", number);
  }
  for (JsonValue member : document) {
    if (member.key() == "seq" && !sequence.empty())
      continue;
    if (member.key() != "apps") {
      json.Field(member.key(), member);
      continue;
    }
    json.Key("apps").Array();
    for (JsonValue app : member) {
      std::string pinned = TRY(PinnedApp(call, app));
      json.Raw(pinned);
    }
    json.End();
  }
  json.End();
  return json.Take();
}

}  // namespace

std::span<const Option> ReleaseCreateOptions() {
  return kCreate;
}
std::span<const Option> ReleaseSignOptions() {
  return kSign;
}
std::span<const Option> ReleaseVerifyOptions() {
  return kVerify;
}

// NAME.key and NAME.pub.
Result<int> ReleaseKeygenCommand(const Invocation& call) {
  std::string secret = Cat(call.word(0), ".key");
  if (PathExists(secret))
    return Fail(Errc::kExists, Cat(secret, " exists already; remove it to make another key"));
  ota::PrivateKey key = TRY(ota::PrivateKey::Generate());
  ota::PublicKey pub = TRY(key.Public());
  TRY(ReplaceFile(secret, key.Pem(), kPrivate, Durability::kPersistent));
  TRY(ReplaceFile(Cat(call.word(0), ".pub"), pub.Pem(), kPublic, Durability::kPersistent));
  TRY(Print(Cat(pub.id(), "\n")));
  return 0;
}

// FILE; with compose files what they say below it.
Result<std::string> Draft(const Invocation& call) {
  std::string text = "{}";
  if (!call.words().empty())
    text = TRY(ReadFile(call.word(0), ota::kMaxRelease));
  std::string_view what = call.words().empty() ? std::string_view("release") : call.word(0);
  JsonDocument document = TRY(JsonDocument::Parse(text, what));
  TRY(ota::RefuseDuplicateNames(document.root(), what));
  if (!call.arguments.Has("file"))
    return text;
  Project project = TRY(LoadProject(call.arguments, Files::kNeeded));
  auto services = TRY(compose::SelectServices(project.group, {}, project.profiles,
                                              compose::Dependencies::kInclude));
  return compose::ReleaseDraft(project.group, services, document.root());
}

Result<int> ReleaseCreateCommand(const Invocation& call) {
  if (call.words().empty() && !call.arguments.Has("file"))
    return Fail(Errc::kInvalid,
                "release create: name a release to complete, or a compose file with --file");
  std::string text = TRY(Draft(call));
  JsonDocument document = TRY(JsonDocument::Parse(text, "release"));
  std::string complete = TRY(Complete(call, document.root()));
  TRY(ota::Release::Parse(complete, call.words().empty() ? "release" : call.word(0)));
  TRY(Write(call, complete));
  return 0;
}

Result<int> ReleaseSignCommand(const Invocation& call) {
  if (call.arguments.Value("key").empty())
    return Fail(Errc::kInvalid, "release sign: --key is missing: the private key to sign with");
  ota::PrivateKey key = TRY(ota::PrivateKey::Load(call.arguments.Value("key")));
  const std::string& file = call.word(0);
  std::string text = TRY(ReadFile(file, ota::kMaxRelease));
  // A signed one gets another signature.
  ota::Envelope envelope{std::string(ota::kReleaseType), text, {}};
  if (auto before = ota::Envelope::Parse(text, file))
    envelope = *std::move(before);
  TRY(ota::Release::Parse(envelope.payload, file));
  TRY(envelope.Sign(key));
  TRY(Write(call, envelope.ToJson()));
  return 0;
}

Result<int> ReleaseVerifyCommand(const Invocation& call) {
  std::vector<ota::PublicKey> keys;
  for (const std::string& file : call.arguments.List("key")) {
    ota::PublicKey key = TRY(ota::PublicKey::Load(file));
    keys.push_back(std::move(key));
  }
  if (keys.empty())
    return Fail(Errc::kInvalid, "release verify: --key is missing: a public key to verify with");
  const std::string& file = call.word(0);
  std::string text = TRY(ReadFile(file, ota::kMaxRelease));
  ota::Release release = TRY(ota::OpenRelease(text, keys, file));
  TRY(Print(Cat(release.name, " ", release.sequence, " ", release.digest.string(), "\n")));
  return 0;
}

}  // namespace wherry::cli
