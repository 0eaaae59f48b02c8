#include "cli/create_request.h"

#include <cstdlib>

#include "cli/create_rows.h"
#include "cli/publish.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"

namespace wherry::cli {

namespace {

constexpr size_t kMaxListFile = 1 << 20;

// NAME alone takes the value from our own environment, as in Docker; an unset one is left out.
void AddVariable(std::vector<std::string>& variables, std::string_view word) {
  if (word.find('=') != std::string_view::npos) {
    variables.emplace_back(word);
    return;
  }
  std::string name(word);
  if (const char* value = getenv(name.c_str()))
    variables.push_back(Cat(name, "=", value));
}

void WriteStreams(JsonWriter& json, const Arguments& arguments, bool attach) {
  bool interactive = arguments.Flag("interactive");
  json.Field("Tty", arguments.Flag("tty"))
      .Field("OpenStdin", interactive)
      .Field("StdinOnce", interactive && attach);
  json.Field("AttachStdin", interactive && attach)
      .Field("AttachStdout", attach)
      .Field("AttachStderr", attach);
}

Result<> WriteLog(JsonWriter& json, const Arguments& arguments) {
  if (!arguments.Has("log-driver") && !arguments.Has("log-opt"))
    return {};
  json.Key("LogConfig").Object().Field("Type", arguments.Value("log-driver", "json-file"));
  TRY(WriteNameValues(json.Key("Config"), arguments.List("log-opt")));
  json.End();
  return {};
}

// The lines of all files of an option, without empty ones and comments.
Result<std::vector<std::string>> FileLines(const Arguments& arguments, std::string_view option) {
  std::vector<std::string> lines;
  for (const std::string& file : arguments.List(option)) {
    std::string text = TRY_CTX(Cat("--", option), ReadFile(file, kMaxListFile));
    for (std::string_view line : Split(text, '\n')) {
      line = Trim(line);
      if (!line.empty() && line[0] != '#')
        lines.emplace_back(line);
    }
  }
  return lines;
}

// Those of the command line win.
Result<> WriteAllLabels(JsonWriter& json, const Arguments& arguments) {
  std::vector<std::string> labels = TRY(FileLines(arguments, "label-file"));
  const auto& given = arguments.List("label");
  labels.insert(labels.end(), given.begin(), given.end());
  if (labels.empty())
    return {};
  json.Key("Labels");
  return WriteNameValues(json, labels);
}

struct HealthRow {
  std::string_view option;
  std::string_view key;
};
constexpr HealthRow kHealthDurations[] = {
    {"health-interval", "Interval"},
    {"health-start-interval", "StartInterval"},
    {"health-start-period", "StartPeriod"},
    {"health-timeout", "Timeout"},
};

Result<> WriteHealthcheck(JsonWriter& json, const Arguments& arguments) {
  bool any = arguments.Has("health-cmd") || arguments.Has("health-retries");
  for (const HealthRow& row : kHealthDurations)
    any |= arguments.Has(row.option);
  bool none = arguments.Flag("no-healthcheck");
  if (none && any)
    return Fail(Errc::kInvalid, "--no-healthcheck conflicts with --health-* options");
  if (!none && !any)
    return {};
  json.Key("Healthcheck").Object();
  if (none)
    json.Field("Test", std::vector<std::string>{"NONE"});
  if (arguments.Has("health-cmd")) {
    std::vector<std::string> test{"CMD-SHELL", arguments.Value("health-cmd")};
    json.Field("Test", test);
  }
  for (const HealthRow& row : kHealthDurations) {
    if (arguments.Has(row.option))
      json.Field(row.key,
                 TRY_CTX(Cat("option --", row.option), ParseGoDuration(arguments.Value(row.option)))
                     .count());
  }
  if (arguments.Has("health-retries"))
    json.Field("Retries",
               TRY_CTX("option --health-retries", ParseInt(arguments.Value("health-retries"))));
  json.End();
  return {};
}

}  // namespace

Result<std::vector<std::string>> Environment(const Arguments& arguments) {
  std::vector<std::string> variables;
  std::vector<std::string> lines = TRY(FileLines(arguments, "env-file"));
  for (const std::string& line : lines)
    AddVariable(variables, line);
  for (const std::string& word : arguments.List("env"))
    AddVariable(variables, word);
  return variables;
}

Result<std::string> CreateBody(const Arguments& arguments, bool attach) {
  const auto& words = arguments.positional();
  JsonWriter json;
  json.Object().Field("Image", words[0]);
  if (words.size() > 1)
    json.Field("Cmd", std::vector<std::string>(words.begin() + 1, words.end()));
  if (arguments.Has("entrypoint")) {
    std::string program = arguments.Value("entrypoint");
    json.Field("Entrypoint", std::vector<std::string>{program});
  }
  auto environment = TRY(Environment(arguments));
  if (!environment.empty())
    json.Field("Env", environment);
  WriteStreams(json, arguments, attach);
  TRY(WriteAllLabels(json, arguments));
  TRY(WriteHealthcheck(json, arguments));
  TRY(WriteRows(json, arguments, Part::kConfig));
  TRY(WriteExposedPorts(json, arguments));
  json.Key("HostConfig").Object();
  TRY(WriteRows(json, arguments, Part::kHost));
  TRY(WritePortBindings(json, arguments));
  TRY(WriteLog(json, arguments));
  json.End();
  TRY(WriteNetworking(json, arguments));
  json.End();
  return json.Take();
}

Result<std::string> UpdateBody(const Arguments& arguments) {
  JsonWriter json;
  json.Object();
  TRY(WriteRows(json, arguments, Part::kHost));
  json.End();
  return json.Take();
}

}  // namespace wherry::cli
