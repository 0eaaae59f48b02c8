#include "engine/build/expand.h"

#include <initializer_list>
#include <iterator>

namespace wherry::build {

namespace {

class Expansion {
 public:
  Expansion(const Variables& variables, char escape)
      : variables_(variables), rules_{.escape = escape} {}

  Result<> operator()(Add& add) const {
    TRY(Text(add.checksum));
    return All(add.sources);
  }
  Result<> operator()(Copy& copy) const { return All(copy.sources); }
  Result<> operator()(Env& env) const { return All(env.variables); }
  Result<> operator()(Label& label) const { return All(label.labels); }
  Result<> operator()(StopSignal& signal) const { return Text(signal.signal); }
  Result<> operator()(User& user) const { return Text(user.user); }
  Result<> operator()(Volume& volume) const { return All(volume.paths); }
  Result<> operator()(Workdir& workdir) const { return Text(workdir.path); }
  Result<> operator()(Expose& expose) const {
    std::vector<std::string> ports;
    for (const std::string& port : expose.ports) {
      auto words = TRY(ExpandWords(port, variables_, rules_));
      std::move(words.begin(), words.end(), std::back_inserter(ports));
    }
    expose.ports = std::move(ports);
    return {};
  }
  // What stays as it is.
  Result<> operator()(Arg&) const { return {}; }
  Result<> operator()(Cmd&) const { return {}; }
  Result<> operator()(Entrypoint&) const { return {}; }
  Result<> operator()(From&) const { return {}; }
  Result<> operator()(Healthcheck&) const { return {}; }
  Result<> operator()(Maintainer&) const { return {}; }
  Result<> operator()(Onbuild&) const { return {}; }
  Result<> operator()(Run&) const { return {}; }
  Result<> operator()(Shell&) const { return {}; }

 private:
  Result<> Text(std::string& text) const {
    text = TRY(ExpandWord(text, variables_, rules_));
    return {};
  }
  Result<> All(std::vector<std::string>& texts) const {
    for (std::string& text : texts)
      TRY(Text(text));
    return {};
  }
  Result<> All(std::vector<KeyValue>& pairs) const {
    for (KeyValue& pair : pairs) {
      TRY(Text(pair.key));
      TRY(Text(pair.value));
    }
    return {};
  }
  Result<> All(Sources& sources) const {
    TRY(All(sources.paths));
    for (std::string* text : {&sources.destination, &sources.chown, &sources.chmod})
      TRY(Text(*text));
    for (Heredoc& file : sources.files) {
      file.content = file.Text();
      file.chomp = false;
      if (file.expand)
        file.content = TRY(ExpandWord(file.content, variables_, {.plain_quotes = true}));
      file.expand = false;
    }
    return {};
  }

  const Variables& variables_;
  WordRules rules_;
};

}  // namespace

Result<Instruction> Expand(Instruction instruction, const Variables& variables, char escape) {
  auto expanded = std::visit(Expansion(variables, escape), instruction.what);
  if (!expanded)
    return std::unexpected(AtLine(std::move(expanded).error(), instruction.line));
  return instruction;
}

}  // namespace wherry::build
