#include "engine/build/plan.h"

#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "engine/build/problem.h"

namespace wherry::build {

namespace {

constexpr size_t kMaxStages = 500;
constexpr std::string_view kPlatformParts[] = {"PLATFORM", "OS", "ARCH", "VARIANT"};

std::string Full(const oci::Platform& platform) {
  return Cat(platform.os, "/", platform.architecture, platform.variant.empty() ? "" : "/",
             platform.variant);
}

// The predefined ARGs in front of the first FROM.
void SetPlatforms(const PlanOptions& options, Variables& global) {
  for (std::string_view prefix : {"BUILD", "TARGET"}) {
    bool target = prefix == "TARGET";
    const oci::Platform& platform = target ? options.target_platform : options.build_platform;
    std::string full = Full(platform);
    const std::string* values[] = {&full, &platform.os, &platform.architecture, &platform.variant};
    for (size_t i = 0; i < std::size(kPlatformParts); ++i) {
      std::string name = Cat(prefix, kPlatformParts[i]);
      auto given = options.build_args.find(name);
      global.Set(name, given == options.build_args.end() ? *values[i] : given->second);
    }
  }
  global.Set("TARGETSTAGE", options.target.empty() ? "default" : options.target);
}

struct Origin {
  std::string reference;
  int line;
};

void AddOrigins(const Instruction& instruction, int line, std::vector<Origin>& origins) {
  if (const auto* copy = std::get_if<Copy>(&instruction.what);
      copy != nullptr && !copy->from.empty())
    origins.push_back({copy->from, line});
  const auto* run = std::get_if<Run>(&instruction.what);
  for (size_t i = 0; run != nullptr && i < run->mounts.size(); ++i) {
    std::string origin = MountOrigin(run->mounts[i]);
    if (!origin.empty())
      origins.push_back({std::move(origin), line});
  }
}

class Planner {
 public:
  Planner(const Dockerfile& dockerfile, PlanOptions options)
      : dockerfile_(dockerfile), options_(std::move(options)) {}

  Result<Plan> Make();

 private:
  Result<> Add(Instruction instruction);
  Result<> AddGlobal(const Arg& arg);
  Result<> Begin(const From& from, int line);
  Result<std::string> ExpandGlobal(std::string_view text) const;
  Result<> FindUses();
  Result<> FindTarget();
  void Order();

  const Dockerfile& dockerfile_;
  PlanOptions options_;
  Plan plan_;
  std::set<std::string> declared_;  // names of ARGs
};

Result<std::string> Planner::ExpandGlobal(std::string_view text) const {
  return ExpandWord(text, plan_.arguments.global, {.escape = dockerfile_.escape});
}

Result<> Planner::AddGlobal(const Arg& arg) {
  for (const Arg::Definition& definition : arg.definitions) {
    auto given = options_.build_args.find(definition.name);
    if (given != options_.build_args.end())
      plan_.arguments.global.Set(definition.name, given->second);
    else if (definition.value)
      plan_.arguments.global.Set(definition.name, TRY(ExpandGlobal(*definition.value)));
  }
  return {};
}

Result<> Planner::Begin(const From& from, int line) {
  if (plan_.stages.size() == kMaxStages)
    return Invalid({"more than ", std::to_string(kMaxStages), " stages"});
  Stage stage;
  stage.name = from.name;
  stage.platform = options_.target_platform;
  stage.line = line;
  stage.image = TRY(ExpandGlobal(from.image));
  if (stage.image.empty())
    return Invalid({"base name (", Shown(from.image), ") should not be blank"});
  if (!from.platform.empty()) {
    std::string platform =
        TRY_CTX("failed to process arguments for platform", ExpandGlobal(from.platform));
    if (platform.empty())
      return Invalid({"empty platform value from expression ", Shown(from.platform)});
    stage.platform = TRY_CTX(Cat("failed to parse platform ", from.platform.substr(0, 100)),
                             oci::ParsePlatform(platform));
  }
  // Only by name: FROM 0 is an image.
  for (size_t i = plan_.stages.size(); i-- > 0 && !stage.base;) {
    if (!plan_.stages[i].name.empty() && plan_.stages[i].name == stage.image)
      stage.base = i;
  }
  if (stage.base)
    stage.image.clear();
  plan_.stages.push_back(std::move(stage));
  return {};
}

Result<> Planner::Add(Instruction instruction) {
  const auto* arg = std::get_if<Arg>(&instruction.what);
  for (size_t i = 0; arg != nullptr && i < arg->definitions.size(); ++i)
    declared_.insert(arg->definitions[i].name);
  if (const auto* from = std::get_if<From>(&instruction.what))
    return Begin(*from, instruction.line);
  if (plan_.stages.empty())
    return arg != nullptr ? AddGlobal(*arg)
                          : Result<>(Invalid({"no build stage in current context"}));
  plan_.stages.back().instructions.push_back(std::move(instruction));
  return {};
}

// The ONBUILD instructions of a stage are carried out in those that are from it, and may use
// further stages. Those of images are not known yet.
Result<> Planner::FindUses() {
  std::vector<std::vector<Origin>> of_triggers(plan_.stages.size());
  for (size_t i = 0; i < plan_.stages.size(); ++i) {
    Stage& stage = plan_.stages[i];
    std::vector<Origin> origins;
    for (const Instruction& instruction : stage.instructions) {
      AddOrigins(instruction, instruction.line, origins);
      if (const auto* onbuild = std::get_if<Onbuild>(&instruction.what))
        AddOrigins(TRY(ParseTrigger(onbuild->expression)), instruction.line, of_triggers[i]);
    }
    if (stage.base)
      std::copy(of_triggers[*stage.base].begin(), of_triggers[*stage.base].end(),
                std::back_inserter(origins));
    for (const Origin& origin : origins) {
      auto used = plan_.FindStage(origin.reference, i);
      if (!used)
        return std::unexpected(AtLine(std::move(used).error(), origin.line));
      if (*used && std::find(stage.uses.begin(), stage.uses.end(), **used) == stage.uses.end())
        stage.uses.push_back(**used);
    }
  }
  return {};
}

Result<> Planner::FindTarget() {
  plan_.target = plan_.stages.size() - 1;
  if (options_.target.empty())
    return {};
  std::string name = ToLower(options_.target);
  for (size_t i = 0; i < plan_.stages.size(); ++i) {
    if (plan_.stages[i].name == name) {
      plan_.target = i;
      return {};
    }
  }
  auto number = ParseUint(options_.target);
  if (!number || *number >= plan_.stages.size())
    return Invalid({"target stage \"", Shown(options_.target), "\" could not be found"});
  plan_.target = static_cast<size_t>(*number);
  return {};
}

// A stage needs only earlier ones, so their numbers are an order to build them in.
void Planner::Order() {
  std::vector<bool> needed(plan_.stages.size());
  needed[plan_.target] = true;
  for (size_t i = plan_.target + 1; i-- > 0;) {
    if (!needed[i])
      continue;
    for (size_t used : plan_.stages[i].uses)
      needed[used] = true;
    if (plan_.stages[i].base)
      needed[*plan_.stages[i].base] = true;
  }
  for (size_t i = 0; i <= plan_.target; ++i) {
    if (needed[i])
      plan_.order.push_back(i);
  }
}

Result<Plan> Planner::Make() {
  plan_.arguments.given = options_.build_args;
  plan_.arguments.escape = dockerfile_.escape;
  SetPlatforms(options_, plan_.arguments.global);
  for (const Statement& statement : dockerfile_.statements) {
    auto instruction = TRY(ParseInstruction(statement));
    auto added = Add(std::move(instruction));
    if (!added)
      return std::unexpected(AtLine(std::move(added).error(), statement.first_line));
  }
  if (plan_.stages.empty())
    return Invalid({"dockerfile contains no stages to build"});
  TRY(FindUses());
  TRY(FindTarget());
  Order();
  for (const auto& [name, value] : options_.build_args) {
    bool known = declared_.contains(name) || IsPredefinedArgument(name) ||
                 plan_.arguments.global.Find(name) != nullptr;
    if (!known)
      plan_.unused_args.push_back(name);
  }
  return std::move(plan_);
}

}  // namespace

Result<std::optional<size_t>> Plan::FindStage(std::string_view reference, size_t current) const {
  std::optional<size_t> found;
  if (reference.find_first_not_of("0123456789") == std::string_view::npos) {
    auto number = ParseUint(reference);
    if (!number || *number >= stages.size())
      return Invalid({"invalid stage index ", Shown(reference)});
    found = *number;
  }
  std::string name = ToLower(reference);
  for (size_t i = 0; i < stages.size() && (!found || i < current); ++i) {
    if (stages[i].name == name)
      found = i;  // the last one in front of the current, else the first behind it
  }
  if (!found || *found < current)
    return found;
  return Fail(
      Errc::kInvalid,
      Cat("cannot copy from stage \"", reference.substr(0, 100),
          "\", it needs to be defined before current stage \"",
          stages[current].name.empty() ? Cat("stage-", current) : stages[current].name, "\""));
}

Result<Plan> MakePlan(const Dockerfile& dockerfile, PlanOptions options) {
  return Planner(dockerfile, std::move(options)).Make();
}

}  // namespace wherry::build
