// store check, store export-factory.
#include <unistd.h>

#include <climits>
#include <set>

#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "net/registry/reference.h"

namespace wherry::cli {

namespace {

constexpr Option kStoreCheck[] = {
    {"format", 0, OptionKind::kValue, "json", "The daemon's lines as they come"},
    {"quiet", 'q', OptionKind::kFlag, "", "No progress"},
    {"repair", 0, OptionKind::kFlag, "", "Make or fetch again what is damaged"},
};

// {"auths":{...}} for the registries of all images, of which the daemon keeps no credentials.
Result<std::string> Credentials(Client& client) {
  auto images = TRY(client.Get(Target("/images/json", {{"all", "1"}})));
  std::set<std::string> hosts;
  for (JsonValue image : images.root()) {
    for (std::string_view key : {"RepoTags", "RepoDigests"}) {
      for (const std::string& name : image[key].strings()) {
        if (auto reference = registry::Reference::Parse(name))
          hosts.insert(reference->registry);
      }
    }
  }
  JsonWriter json;
  json.Object().Key("auths").Object();
  for (const std::string& host : hosts) {
    auto headers = TRY(AuthHeaders(host));
    if (headers.empty())
      continue;
    auto credentials = registry::CredentialsFromHeader(headers[0].value);
    json.Key(host).Object().Field("username", credentials.username);
    json.Field("password", credentials.password);
    json.Field("identitytoken", credentials.identity_token);
    json.Field("registrytoken", credentials.registry_token).End();
  }
  json.End().End();
  return json.Take();
}

std::string DamageText(JsonValue damage) {
  return Cat(damage["path"].str(), ": ", damage["what"].str(), "; needed by ",
             Join(damage["images"].strings(), ", "), "\n");
}

std::string SummaryText(JsonValue summary) {
  auto number = [&](std::string_view key) { return static_cast<uint64_t>(summary[key].integer()); };
  std::string text;
  for (const std::string& failure : summary["failures"].strings())
    Append(text, failure, "\n");
  Append(text, number("files"), " files, ", FormatSize(number("bytes")), " read, ",
         number("damaged"), " damaged");
  if (number("damaged") > 0 && number("left") == 0)
    Append(text, ", all repaired");
  Append(text, "\n");
  return text;
}

constexpr Option kExportFactory[] = {
    {"tier", 0, OptionKind::kValue, "TIER", "Of the devices: A1, A2 or B (docs/store.md)"},
};

}  // namespace

std::span<const Option> ExportFactoryOptions() {
  return kExportFactory;
}

Result<int> ExportFactoryCommand(const Invocation& call) {
  std::string directory = call.word(0);
  if (!directory.starts_with('/')) {  // the daemon has another working directory
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) == nullptr)
      return FailSys("getcwd");
    directory.insert(0, Cat(here, "/"));
  }
  std::vector<std::string> images(call.words().begin() + 1, call.words().end());
  JsonWriter json;
  json.Object().Field("directory", directory).Field("images", images);
  json.Field("tier", call.arguments.Value("tier")).End();
  auto answer =
      TRY(call.client.Open("POST", Target("/wherry/v1/store/export-factory"), json.Take()));
  TRY(ForEachLine(*answer, [](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "answer"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kIo, std::string(error));
    return Print(Cat(message["status"].str(), "\n"));
  }));
  return 0;
}

std::span<const Option> StoreCheckOptions() {
  return kStoreCheck;
}

Result<int> StoreCheckCommand(const Invocation& call) {
  bool repair = call.arguments.Flag("repair");
  bool json = call.arguments.Value("format") == "json";
  bool progress = !json && !call.arguments.Flag("quiet") && IsTerminal(STDERR_FILENO);
  std::string body;
  if (repair)
    body = TRY(Credentials(call.client));
  auto answer = TRY(call.client.Open(
      "POST", Target("/wherry/v1/store/check", {{"repair", repair ? "1" : ""}}), body));
  int status = 1;
  auto show = [&](std::string_view line) -> Result<> {
    auto message = TRY(JsonDocument::Parse(line, "answer"));
    std::string_view error = message["error"].str();
    if (!error.empty())
      return Fail(Errc::kIo, std::string(error));
    if (message["summary"])
      status = message["summary"]["left"].integer() == 0 ? 0 : 1;
    if (json)
      return Print(Cat(line, "\n"));
    JsonValue count = message["progress"];
    if (count && progress) {
      return WriteAll(STDERR_FILENO,
                      Cat("\r\x1b[K", count["files"].integer(), " files, ",
                          FormatSize(static_cast<uint64_t>(count["bytes"].integer()))),
                      "standard error");
    }
    if (progress)
      TRY(WriteAll(STDERR_FILENO, "\r\x1b[K", "standard error"));
    if (message["damage"])
      return Print(DamageText(message["damage"]));
    if (message["summary"])
      return Print(SummaryText(message["summary"]));
    return count ? Result<>() : Print(Cat(message["status"].str(), "\n"));
  };
  TRY(ForEachLine(*answer, show));
  return status;
}

}  // namespace wherry::cli
