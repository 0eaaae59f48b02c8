// fleet: the table of its commands, and what they share.
#include <algorithm>

#include "cli/commands.h"
#include "cli/fleet/fleet.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "engine/mqtt_config.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kValue = OptionKind::kValue;

constexpr Option kGroup = {"group", 0, kValue, "NAME", "Group of devices"};
constexpr Option kFormat = {"format", 0, kValue, "json", "JSON"};
constexpr Option kDeployment = {"dep", 0, kValue, "NAME",
                                "Name of the attempt; NAME-SEQUENCE of the release without it"};

constexpr Option kFrom = {"from", 0, kValue, "REFERENCE",
                          "Devices get it from a registry (`release push`), not by the broker"};

constexpr Option kShow[] = {kGroup, kFormat};
constexpr Option kAssign[] = {
    kGroup,
    kDeployment,
    kFrom,
    {"gate", 0, kValue, "N", "For N of 1000 devices; 1000 without it"},
};
constexpr Option kRollout[] = {
    kGroup,
    kDeployment,
    kFrom,
    kFormat,
    {"waves", 0, kValue, "N,N,...", "Gates of the waves, of 1000 devices; 1000 without it"},
    {"abort-rate", 0, kValue, "PERCENT", "Abort when more of the outcomes are failures; 10"},
    {"min", 0, kValue, "N", "Judge as if there were at least N outcomes; 10"},
    {"soak", 0, kValue, "SECONDS", "From the end of a wave to the next one; 0"},
    {"patience", 0, kValue, "SECONDS", "Wait for a connected device for so long; 86400"},
};

struct FleetRow {
  std::string_view name;
  std::string_view usage;
  std::string_view summary;
  size_t words;
  std::span<const Option> options;
  Result<int> (*run)(FleetCall& call);
};

// clang-format off
constexpr FleetRow kRows[] = {
    {"abort", "", "Revoke a rollout: devices that have not begun drop it, those in trial go back", 0, kShow, FleetAbort},
    {"assign", "RELEASE", "Say which release a group shall have", 1, kAssign, FleetAssign},
    {"devices", "", "List the devices and what they report", 0, kShow, FleetDevices},
    {"pause", "", "Let no further device of a rollout begin", 0, kShow, FleetPause},
    {"resume", "", "Go on with a rollout that was paused or whose controller is gone", 0, kShow, FleetResume},
    {"rollback", "", "Send the devices of a group back to the release before", 0, kShow, FleetRollback},
    {"rollout", "RELEASE", "Open a release for a group wave by wave", 1, kRollout, FleetRollout},
    {"watch", "", "Follow a rollout", 0, kShow, FleetWatch},
};
// clang-format on

std::string ListOfCommands() {
  std::string text = "Usage: wherry fleet COMMAND [OPTIONS] [ARG...]\n\nCommands:\n";
  for (const FleetRow& row : kRows) {
    std::string line = Cat("  ", row.name);
    line.resize(12, ' ');
    Append(text, line, row.summary, "\n");
  }
  return Cat(text, "\nOptions of all commands:\n", DescribeOptions(FleetConnectionOptions()),
             "\nRun `wherry fleet COMMAND --help` for the options of a command.\n");
}

}  // namespace

void PrintLine(std::string_view text) {
  (void)Print(Cat(text, "\n"));
}

Result<FleetRelease> ReadFleetRelease(const FleetCall& call) {
  const std::string& file = call.arguments.positional()[0];
  std::string text = TRY(ReadFile(file, ota::kMaxRelease));
  ota::Envelope envelope = TRY(ota::Envelope::Parse(text, file));
  if (envelope.payload_type != ota::kReleaseType)
    return Fail(Errc::kInvalid, Cat(file, " is no signed release but ", envelope.payload_type));
  FleetRelease release;
  release.release = TRY(ota::Release::Parse(envelope.payload, file));
  JsonDocument document = TRY(JsonDocument::Parse(text, file));
  release.wanted = document.root().Dump();
  if (const std::string& from = call.arguments.Value("from"); !from.empty()) {
    auto reference = TRY_CTX("--from", registry::Reference::Parse(from));
    if (!reference.digest)
      return Fail(Errc::kInvalid,
                  Cat("--from ", from, " has no digest, which `wherry release push` tells"));
    release.wanted = reference.Canonical();
  }
  return release;
}

Result<std::string> GroupOf(const FleetCall& call) {
  std::string group = call.arguments.Value("group");
  if (group.empty())
    return Fail(Errc::kInvalid, "--group is missing: which devices?");
  TRY_CTX("--group", engine::CheckTopicLevel(group));
  return group;
}

Result<std::string> DeploymentOf(const FleetCall& call, const ota::Release& release) {
  std::string name = call.arguments.Value("dep", Cat(release.name, "-", release.sequence));
  TRY_CTX("--dep", engine::CheckTopicLevel(name));
  return name;
}

Result<uint64_t> NumberOf(const FleetCall& call, std::string_view option, uint64_t fallback,
                          uint64_t most) {
  if (!call.arguments.Has(option))
    return fallback;
  uint64_t number = TRY_CTX(Cat("--", option), ParseUint(call.arguments.Value(option)));
  if (number > most)
    return Fail(Errc::kInvalid, Cat("--", option, " must be at most ", most));
  return number;
}

Result<int> Once(FleetCall& call, std::string group,
                 std::function<void(ota::FleetSession&, std::function<void(Result<int>)>)> synced) {
  std::optional<Result<int>> result;
  std::unique_ptr<ota::FleetSession> session;
  auto end = [&](Result<int> ended) {
    result = std::move(ended);
    call.loop.Stop();
  };
  ota::FleetSession::Options options = call.settings.session;
  options.group = std::move(group);
  session = std::make_unique<ota::FleetSession>(
      &call.loop, std::move(options),
      ota::FleetSession::Handlers{
          .synced = [&] { synced(*session, end); },
          .changed = [] {},
          .lost = [&](const Error& error) { end(std::unexpected(error.Clone())); }});
  session->Start();
  TRY(call.loop.Run());
  session->Stop();
  return *std::move(result);
}

Result<int> FleetCommand(const Invocation& call) {
  if (call.words().empty() || call.word(0) == "help") {
    TRY(Print(ListOfCommands()));
    return call.words().empty() ? 1 : 0;
  }
  const auto* row = std::ranges::find(kRows, std::string_view(call.word(0)), &FleetRow::name);
  if (row == std::end(kRows))
    return Fail(Errc::kInvalid, Cat("unknown command ", call.word(0), "; see `wherry fleet help`"));
  auto words = call.words().subspan(1);
  if (!words.empty() && words[0] == "--help") {
    PrintLine(Cat("Usage: wherry fleet ", row->name, " [OPTIONS] ", row->usage, "\n\n",
                  row->summary, ".\n\nOptions:\n", DescribeOptions(row->options),
                  "\nand those of `wherry fleet help`"));
    return 0;
  }
  std::vector<Option> options(row->options.begin(), row->options.end());
  std::span<const Option> connection = FleetConnectionOptions();
  options.insert(options.end(), connection.begin(), connection.end());
  Arguments arguments = TRY_CTX(row->name, ParseArguments(options, words, Positional::kMixed));
  if (arguments.positional().size() != row->words)
    return Fail(Errc::kInvalid, Cat("usage: wherry fleet ", row->name, " [OPTIONS] ", row->usage));
  FleetSettings settings = TRY(ReadFleetSettings(arguments));
  auto loop = TRY(Loop::Create());
  FleetCall fleet{arguments, settings, *loop};
  return row->run(fleet);
}

}  // namespace wherry::cli
