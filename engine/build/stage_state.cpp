#include "engine/build/stage_state.h"

#include <algorithm>
#include <iterator>

#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/build/expand.h"
#include "engine/build/history.h"
#include "engine/build/path.h"
#include "engine/build/ports.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kPortBytes = 16;  // "65535/tcp" in JSON
constexpr std::string_view kPredefined[] = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY",
                                            "ALL_PROXY"};

std::string HealthJson(const Healthcheck& check) {
  JsonWriter json;
  json.Object().Field("Test", check.test);
  struct Row {
    std::string_view name;
    int64_t value;
  };
  for (Row row :
       {Row{"Interval", check.interval.count()}, Row{"Timeout", check.timeout.count()},
        Row{"StartPeriod", check.start_period.count()},
        Row{"StartInterval", check.start_interval.count()}, Row{"Retries", check.retries}}) {
    if (row.value != 0)
      json.Field(row.name, row.value);
  }
  json.End();
  return json.Take();
}

void SortedSet(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

bool IsFileName(std::string_view name) {
  return name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

}  // namespace

bool IsPredefinedArgument(std::string_view name) {
  return std::any_of(std::begin(kPredefined), std::end(kPredefined),
                     [&](std::string_view row) { return name == row || name == ToLower(row); });
}

// The change each instruction makes.
class Application {
 public:
  Application(StageState& stage, HistoryContext& history) : stage_(stage), history_(history) {}

  Result<> operator()(const Add&) const { return {}; }
  Result<> operator()(const Copy&) const { return {}; }
  Result<> operator()(const Arg& arg) const {
    for (const Arg::Definition& definition : arg.definitions)
      TRY(stage_.Declare(definition, history_.build_args));
    return {};
  }
  Result<> operator()(const Cmd& cmd) const {
    config().cmd = history_.argv = stage_.ShellOf(cmd.command);
    stage_.cmd_set_ = true;
    return {};
  }
  Result<> operator()(const Entrypoint& entrypoint) const {
    if (!entrypoint.command.words.empty())
      history_.argv = stage_.ShellOf(entrypoint.command);
    config().entrypoint = history_.argv;
    if (!stage_.cmd_set_)
      config().cmd.clear();  // that of the base was meant for another program
    return {};
  }
  Result<> operator()(const Env& env) const {
    for (const KeyValue& pair : env.variables) {
      if (pair.key.empty())
        return Invalid({"ENV names can not be blank"});
      stage_.SetEnv(pair.key, pair.value);
    }
    return {};
  }
  Result<> operator()(const Expose& expose) const {
    std::vector<std::string>& exposed = config().exposed_ports;
    for (const std::string& text : expose.ports) {
      auto ports = TRY(ParsePorts(text));
      stage_.growth_ += ports.size() * kPortBytes;
      std::move(ports.begin(), ports.end(), std::back_inserter(exposed));
    }
    SortedSet(exposed);
    return {};
  }
  Result<> operator()(const From&) const {
    return Fail(Errc::kInternal, "FROM begins a stage and does not change one");
  }
  Result<> operator()(const Healthcheck& check) const {
    config().healthcheck = HealthJson(check);
    return {};
  }
  Result<> operator()(const Label& label) const {
    for (const KeyValue& pair : label.labels)
      config().labels[pair.key] = pair.value;
    return {};
  }
  Result<> operator()(const Maintainer& maintainer) const {
    stage_.image_.author = maintainer.name;
    return {};
  }
  Result<> operator()(const Onbuild& onbuild) const {
    stage_.image_.on_build.push_back(onbuild.expression);
    return {};
  }
  Result<> operator()(const Run& run) const {
    for (const auto& [name, value] : stage_.args_) {
      if (!IsPredefinedArgument(name))
        history_.build_args.push_back(Cat(name, "=", value));
    }
    history_.argv = stage_.Program(run).argv;
    return {};
  }
  Result<> operator()(const Shell& shell) const {
    stage_.image_.shell = shell.words;
    return {};
  }
  Result<> operator()(const StopSignal& signal) const {
    bool valid = !signal.signal.empty() &&
                 std::all_of(signal.signal.begin(), signal.signal.end(), [](char c) {
                   return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || c == '+' || c == '-';
                 });
    if (!valid)
      return Invalid({"Invalid signal: ", Shown(signal.signal)});
    config().stop_signal = signal.signal;
    return {};
  }
  Result<> operator()(const User& user) const {
    config().user = user.user;
    return {};
  }
  Result<> operator()(const Volume& volume) const {
    for (const std::string& path : volume.paths) {
      if (path.empty())
        return Invalid({"VOLUME specified can not be an empty string"});
      config().volumes.push_back(path);
    }
    SortedSet(config().volumes);
    return {};
  }
  Result<> operator()(const Workdir& workdir) const {
    if (workdir.path.empty())
      return Invalid({"WORKDIR specified can not be an empty string"});
    config().working_dir = stage_.Resolve(workdir.path);
    return {};
  }

 private:
  oci::ImageConfig& config() const { return stage_.image_.config; }

  StageState& stage_;
  HistoryContext& history_;
};

StageState::StageState(ImageState base, const BuildArguments& arguments)
    : image_(std::move(base)), arguments_(&arguments) {
  for (const std::string& variable : image_.config.env) {
    auto pair = SplitFirst(variable, '=');
    variables_.Set(pair ? pair->head : variable, pair ? pair->tail : std::string_view());
  }
  if (variables_.Find("PATH") == nullptr)
    SetEnv("PATH", std::string(kDefaultPath));
}

StageState StageState::Next() const {
  StageState next = *this;
  next.cmd_set_ = false;
  return next;
}

std::vector<std::string> StageState::TakeTriggers() {
  return std::exchange(image_.on_build, {});
}

Result<Instruction> StageState::Expand(const Instruction& instruction) const {
  return build::Expand(instruction, variables_, arguments_->escape);
}

Result<> StageState::Apply(const Instruction& expanded, const Outcome& outcome) {
  HistoryContext context;
  context.sources = outcome.sources;
  auto applied = std::visit(Application(*this, context), expanded.what);
  if (!applied)
    return std::unexpected(AtLine(std::move(applied).error(), expanded.line));
  context.shell = ShellOf({});
  context.working_dir = image_.config.working_dir;
  if (outcome.layer) {
    if (image_.config.diff_ids.size() == oci::kMaxLayers)
      return Invalid(
          {"the image would have more than ", std::to_string(oci::kMaxLayers), " layers"});
    image_.config.diff_ids.push_back(*outcome.layer);
  }
  HistoryEntry& entry = image_.history.emplace_back();
  entry.created = outcome.created;
  entry.created_by = HistoryText(expanded, context);
  entry.author = image_.author;
  entry.empty_layer = !outcome.layer;
  // The text has all that the instruction has added to the configuration, but for ports.
  growth_ += entry.created_by.size();
  if (growth_ > kMaxGrowthBytes)
    return std::unexpected(AtLine(
        Error(Errc::kInvalid, "the image's configuration has become too large"), expanded.line));
  return {};
}

void StageState::SetEnv(const std::string& name, const std::string& value) {
  variables_.Set(name, value);
  args_.erase(name);  // ENV always overrides
  std::string variable = Cat(name, "=", value);
  for (std::string& known : image_.config.env) {
    if (std::string_view(known).substr(0, name.size() + 1) == Cat(name, "=")) {
      known = std::move(variable);
      return;
    }
  }
  image_.config.env.push_back(std::move(variable));
}

// ARG: what was given, else the default, else what ARG in front of the first FROM says.
Result<> StageState::Declare(const Arg::Definition& definition, std::vector<std::string>& shown) {
  std::optional<std::string> value;
  auto given = arguments_->given.find(definition.name);
  const std::string* global = arguments_->global.Find(definition.name);
  if (given != arguments_->given.end())
    value = given->second;
  else if (definition.value)
    value = TRY(ExpandWord(*definition.value, variables_, {.escape = arguments_->escape}));
  else if (global != nullptr)
    value = *global;
  shown.push_back(value ? Cat(definition.name, "=", *value) : definition.name);
  if (!value)
    return {};
  bool is_env = variables_.Find(definition.name) != nullptr && !args_.contains(definition.name);
  if (is_env)
    return {};
  variables_.Set(definition.name, *value);
  args_[definition.name] = *std::move(value);
  return {};
}

std::vector<std::string> StageState::ShellOf(const CommandLine& command) const {
  std::vector<std::string> argv;
  if (command.shell_form)
    argv = image_.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : image_.shell;
  argv.insert(argv.end(), command.words.begin(), command.words.end());
  return argv;
}

RunProgram StageState::Program(const Run& run) const {
  RunProgram program;
  CommandLine command = run.command;
  if (!run.files.empty() && !command.words.empty()) {
    auto alone = ParseHeredocWord(command.words[0]);
    const Heredoc& first = run.files[0];
    if (!alone || !*alone) {  // the shell reads them
      for (const Heredoc& file : run.files)
        Append(command.words[0], "\n", file.content, file.name);
    } else if (first.Text().starts_with("#!")) {
      program.script_name = IsFileName(first.name) ? first.name : "script";
      program.script = first.Text();
      command.words[0] = Cat("/dev/pipes/", program.script_name);
    } else {
      command.words[0] = first.Text();
    }
  }
  program.argv = ShellOf(command);
  return program;
}

Result<std::vector<Mount>> StageState::Mounts(const Run& run) const {
  std::vector<Mount> mounts;
  for (const std::string& text : run.mounts)
    mounts.push_back(TRY(ParseMount(text, variables_, arguments_->escape)));
  return mounts;
}

std::vector<std::string> StageState::RunEnvironment() const {
  std::vector<std::string> env = image_.config.env;
  for (const auto& [name, value] : args_)
    env.push_back(Cat(name, "=", value));
  for (const auto& [name, value] : arguments_->given) {
    if (IsPredefinedArgument(name) && variables_.Find(name) == nullptr)
      env.push_back(Cat(name, "=", value));
  }
  return env;
}

std::string StageState::Resolve(std::string_view path) const {
  if (path.starts_with('/'))
    return CleanPath(path);
  return CleanPath(Cat("/", image_.config.working_dir, "/", path));
}

}  // namespace wherry::build
