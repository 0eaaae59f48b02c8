// ota status, apply, confirm, cancel, rollback, history.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "cli/commands.h"
#include "cli/oci_layout.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;
constexpr OptionKind kValue = OptionKind::kValue;
constexpr size_t kMaxRelease = 256 << 10;

constexpr Option kStatus[] = {
    {"format", 0, kValue, "json", "JSON"},
};
constexpr Option kApply[] = {
    {"deployment", 0, kValue, "NAME", "Name of this attempt; one that was made is not made again"},
    {"wait", 0, kFlag, "", "Until it has come to its end; status 1 unless it was confirmed"},
};
constexpr Option kRollback[] = {
    {"expected", 0, kValue, "DIGEST", "Only to this release"},
};

std::string Line(std::string_view label, std::string_view text) {
  constexpr size_t kColumn = 12;
  if (text.empty())
    return {};
  std::string line(label);
  line.resize(std::max(line.size() + 1, kColumn), ' ');
  return Cat(line, text, "\n");
}

// "gateway 42 (sha256:0123456789ab)"
std::string ReleaseText(JsonValue release) {
  if (!release.IsObject())
    return {};
  return Cat(release["name"].str(), " ", release["sequence"].integer(), " (",
             release["digest"].str().substr(0, 19), ")");
}

std::string StatusText(JsonValue status) {
  std::string text = Line("State:", status["state"].str());
  text += Line("Waits for:", status["waiting"].str());
  text += Line("Reason:", Trim(Cat(status["code"].str(), " ", status["reason"].str())));
  text += Line("Deployment:", status["deployment"].str());
  text += Line("Candidate:", ReleaseText(status["candidate"]));
  text += Line("Active:", ReleaseText(status["active"]));
  text += Line("Previous:", ReleaseText(status["previous"]));
  text += Line("Fleet:", status["fleet"].str());
  if (status["apps"].size() == 0)
    return text;
  std::vector<std::vector<std::string>> rows{{"APP", "IMAGE", "STATE", "HEALTH", "RESTARTS"}};
  for (JsonValue app : status["apps"]) {
    rows.push_back({std::string(app["name"].str()), std::string(app["image"].str().substr(0, 60)),
                    std::string(app["state"].str()), std::string(app["health"].str()),
                    Cat(app["restarts"].integer())});
  }
  return Cat(text, "\n", FormatTable(rows));
}

bool AtRest(std::string_view state) {
  constexpr std::array<std::string_view, 6> kMoving = {"FETCHING", "VERIFIED", "WAITING",
                                                       "ARMED",    "TRIAL",    "REVERTING"};
  return std::ranges::find(kMoving, state) == kMoving.end();
}

// Tells each state as it comes.
Result<int> Await(const Invocation& call) {
  constexpr useconds_t kPeriod = 200'000;
  std::string last;
  for (;;) {
    auto status = TRY(call.client.Get(Target("/wherry/v1/ota")));
    std::string_view why = status["waiting"].str();
    if (why.empty())
      why = status["reason"].str();
    std::string line = Cat(status["state"].str(), why.empty() ? "" : ": ", why, "\n");
    if (line != last)
      TRY(Print(line));
    last = line;
    if (AtRest(status["state"].str()))
      return status["state"].str() == "CONFIRMED" ? 0 : 1;
    usleep(kPeriod);
  }
}

Result<int> Wish(const Invocation& call, std::string_view what, const Query& query = {}) {
  auto done = call.client.Post(Target(Cat("/wherry/v1/ota/", what), query));
  // It is so already.
  if (!done && done.error().code() != Errc::kNotModified)
    return std::unexpected(std::move(done).error());
  return 0;
}

}  // namespace

std::span<const Option> OtaStatusOptions() {
  return kStatus;
}
std::span<const Option> OtaApplyOptions() {
  return kApply;
}
std::span<const Option> OtaRollbackOptions() {
  return kRollback;
}

Result<int> OtaStatusCommand(const Invocation& call) {
  auto status = TRY(call.client.Get(Target("/wherry/v1/ota")));
  bool json = call.arguments.Value("format") == "json";
  TRY(Print(json ? Cat(status.root().Dump(), "\n") : StatusText(status.root())));
  return 0;
}

Result<std::string> ApplyText(const Invocation& call, const Query& query, std::string_view text) {
  auto applied = TRY(call.client.Post(Target("/wherry/v1/ota/apply", query), text));
  return std::string(applied["digest"].str());
}

// "registry.example/releases/gateway:42", and no file that is there. A name that is only misspelled
// must not become a question to a registry.
bool IsReference(const std::string& text) {
  size_t slash = text.rfind('/');
  return slash != std::string::npos && text.find_first_of(":@", slash) != std::string::npos &&
         !PathExists(text) && registry::Reference::Parse(text);
}

// A release is JSON; what does not begin like it is a bundle, whatever its size.
Result<std::string> Apply(const Invocation& call, const Query& query) {
  const std::string& file = call.word(0);
  if (IsReference(file))
    return ApplyText(call, query, file);
  UniqueFd fd = TRY(Open(file, O_RDONLY));
  char first = 0;
  if (pread(fd.get(), &first, 1, 0) == 1 && (first == '{' || isspace(first) != 0)) {
    std::string release = TRY(ReadAll(fd.get(), kMaxRelease, file));
    return ApplyText(call, query, release);
  }
  FileSource bundle(std::move(fd));
  auto answer = TRY(call.client.Upload(Target("/wherry/v1/ota/bundle", query), bundle,
                                       {{"Content-Type", "application/x-tar"}}));
  std::string digest;
  TRY(ForEachLine(*answer, [&](std::string_view line) -> Result<> {
    auto applied = TRY(JsonDocument::Parse(line, "answer of the daemon"));
    digest = applied["digest"].str();
    return {};
  }));
  return digest;
}

Result<int> OtaApplyCommand(const Invocation& call) {
  Query query;
  if (const std::string& name = call.arguments.Value("deployment"); !name.empty())
    query.emplace_back("deployment", name);
  auto digest = Apply(call, query);
  bool known = !digest && digest.error().code() == Errc::kNotModified;
  if (!digest && !known)
    return std::unexpected(std::move(digest).error());
  TRY(Print(known ? "this release is here already, by this deployment\n" : Cat(*digest, "\n")));
  return call.arguments.Flag("wait") ? Await(call) : Result<int>(0);
}

Result<int> OtaConfirmCommand(const Invocation& call) {
  return Wish(call, "confirm");
}

Result<int> OtaProceedCommand(const Invocation& call) {
  return Wish(call, "proceed");
}

Result<int> OtaCancelCommand(const Invocation& call) {
  return Wish(call, "cancel");
}

Result<int> OtaRollbackCommand(const Invocation& call) {
  Query query;
  if (const std::string& digest = call.arguments.Value("expected"); !digest.empty())
    query.emplace_back("expected", digest);
  return Wish(call, "rollback", query);
}

Result<int> OtaHistoryCommand(const Invocation& call) {
  auto history = TRY(call.client.Get(Target("/wherry/v1/ota/history")));
  std::vector<std::vector<std::string>> rows{{"TIME", "DEPLOYMENT", "STATE", "REASON"}};
  for (JsonValue entry : history.root()) {
    rows.push_back({std::string(entry["time"].str().substr(0, 19)),
                    std::string(entry["deployment"].str()), std::string(entry["state"].str()),
                    std::string(entry["reason"].str())});
  }
  TRY(Print(FormatTable(rows)));
  return 0;
}

Result<int> OtaEvidenceCommand(const Invocation& call) {
  auto evidence = TRY(call.client.Get(Target("/wherry/v1/ota/evidence")));
  TRY(Print(Cat(evidence.root().Dump(), "\n")));
  return 0;
}

}  // namespace wherry::cli
