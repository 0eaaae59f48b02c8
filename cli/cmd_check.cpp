// check: what this kernel and board offer and lack. Needs no daemon.
#include <unistd.h>

#include <algorithm>

#include "cli/check/row.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "engine/config.h"

namespace wherry::cli {

namespace {

using check::Finding;
using check::Need;
using check::Row;

struct Answer {
  const Row* row;
  Finding finding;

  std::string_view State() const {
    if (finding.there)
      return "ok";
    return row->need == Need::kNeeded ? "MISSING" : "missing";
  }
  std::string_view Remedy() const {
    return finding.remedy.empty() ? row->remedy : std::string_view(finding.remedy);
  }
};

void AppendPadded(std::string& text, std::string_view word, size_t width) {
  text += word;
  text.append(width - std::min(width, word.size()), ' ');
}

// The table, and below it what to do.
std::string Text(const std::vector<Answer>& answers) {
  std::string text;
  std::string lacks;
  for (const Answer& answer : answers) {
    const Row& row = *answer.row;
    AppendPadded(text, answer.State(), 10);
    AppendPadded(text, row.name, 21);
    Append(text, answer.finding.detail, "\n");
    if (!answer.finding.there) {
      Append(lacks, "\n", row.name, ": ", answer.finding.detail, "\n  without it  ", row.without,
             "\n  remedy      ", answer.Remedy(), "\n");
    }
  }
  return text + lacks;
}

std::string Json(const std::vector<Answer>& answers, bool good) {
  JsonWriter json;
  json.Object().Field("ok", good).Key("rows").Array();
  for (const Answer& answer : answers) {
    const Row& row = *answer.row;
    json.Object().Field("name", row.name).Field("ok", answer.finding.there);
    json.Field("needed", row.need == Need::kNeeded).Field("found", answer.finding.detail);
    if (!answer.finding.there)
      json.Field("without", row.without).Field("remedy", answer.Remedy());
    json.End();
  }
  json.End().End();
  return json.Take() + "\n";
}

}  // namespace

Result<int> CheckCommand(const Invocation& call) {
  if (geteuid() != 0) {
    return Fail(Errc::kDenied,
                "the kernel is asked by making namespaces, cgroups and programs, which needs root: "
                "sudo wherry check");
  }
  engine::Config config = TRY(engine::LoadConfig(call.config_file, {}));
  std::vector<Answer> answers;
  bool good = true;
  for (std::span<const Row> rows : {check::KernelRows(), check::BoardRows()}) {
    for (const Row& row : rows) {
      answers.push_back({&row, row.ask(row, config)});
      good = good && (answers.back().finding.there || row.need != Need::kNeeded);
    }
  }
  bool json = call.arguments.Value("format") == "json";
  TRY(Print(json ? Json(answers, good) : Text(answers)));
  return good ? 0 : 1;
}

}  // namespace wherry::cli
