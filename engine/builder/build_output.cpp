#include "engine/builder/build_output.h"

#include "core/base/json.h"
#include "core/base/text.h"

namespace wherry::engine {

Result<> BuildOutput::Write(std::string_view json) {
  began_ = true;
  return sink_(Cat(json, "\r\n"));
}

Result<> BuildOutput::Say(std::string_view text) {
  if (quiet_ == Quiet::kYes)
    return {};
  JsonWriter json;
  json.Object().Field("stream", text).End();
  return Write(json.text());
}

bool BuildOutput::Pass(std::string_view line) {
  if (quiet_ == Quiet::kYes)
    return true;
  began_ = true;
  return sink_(line).has_value();
}

Result<> BuildOutput::Built(const Digest& id, const std::vector<std::string>& names) {
  if (quiet_ == Quiet::kYes) {
    JsonWriter json;
    json.Object().Field("stream", Cat(id.string(), "\n")).End();
    return Write(json.text());
  }
  JsonWriter json;
  json.Object().Key("aux").Object().Field("ID", id.string()).End().End();
  TRY(Write(json.text()));
  TRY(Say(Cat("Successfully built ", id.hex().substr(0, 12), "\n")));
  for (const std::string& name : names)
    TRY(Say(Cat("Successfully tagged ", name, "\n")));
  return {};
}

void BuildOutput::Failed(const Error& error, int code) {
  JsonWriter json;
  json.Object().Key("errorDetail").Object();
  if (code != 0)
    json.Field("code", code);
  json.Field("message", error.message()).End();
  json.Field("error", error.message()).End();
  (void)Write(json.text());
}

}  // namespace wherry::engine
