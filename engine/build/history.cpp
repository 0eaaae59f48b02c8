#include "engine/build/history.h"

#include "core/base/text.h"

namespace wherry::build {

namespace {

// Go's %q: what the classic builder prints lists with.
std::string Quote(std::string_view text, char quote = '"') {
  constexpr std::string_view kControls = "\a\b\f\n\r\t\v\\";
  constexpr std::string_view kLetters = "abfnrtv\\";
  constexpr char kHex[] = "0123456789abcdef";
  std::string out(1, quote);
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    size_t control = kControls.find(c);
    if (control != std::string_view::npos)
      Append(out, '\\', kLetters[control]);
    else if (c == quote)
      Append(out, '\\', c);
    else if (byte < 0x20 || byte == 0x7f)
      Append(out, "\\x", kHex[byte >> 4], kHex[byte & 15]);
    else
      out.push_back(c);
  }
  out.push_back(quote);
  return out;
}

// ["a" "b"]
std::string Quoted(const std::vector<std::string>& words) {
  std::string out = "[";
  for (const std::string& word : words)
    Append(out, out.size() > 1 ? " " : "", Quote(word));
  return out + "]";
}

std::string Pairs(std::string_view name, const std::vector<KeyValue>& pairs) {
  std::string out(name);
  for (const KeyValue& pair : pairs)
    Append(out, " ", pair.key, "=", pair.value);
  return out;
}

// Go's notation of a duration: "1m30s", "500ms", "0s".
std::string GoDuration(std::chrono::nanoseconds duration) {
  int64_t nanos = duration.count();
  constexpr int64_t kSecond = 1'000'000'000;
  struct Unit {
    int64_t nanos;
    std::string_view name;
  };
  constexpr Unit kUnits[] = {{kSecond, "s"}, {1'000'000, "ms"}, {1'000, "µs"}, {1, "ns"}};
  if (nanos == 0)
    return "0s";
  std::string out;
  if (nanos >= 3600 * kSecond)
    Append(out, nanos / (3600 * kSecond), "h");
  if (nanos >= 60 * kSecond)
    Append(out, nanos / (60 * kSecond) % 60, "m");
  nanos %= 60 * kSecond;
  const Unit* unit = kUnits;
  while (out.empty() && nanos < unit->nanos)
    ++unit;
  Append(out, nanos / unit->nanos);
  int64_t rest = nanos % unit->nanos;
  if (rest > 0) {
    std::string digits = std::to_string(unit->nanos + rest).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    Append(out, ".", digits);
  }
  return out.append(unit->name);
}

std::string Health(const Healthcheck& check) {
  std::string out = Cat("&{", Quoted(check.test));
  for (auto time : {check.interval, check.timeout, check.start_period, check.start_interval})
    Append(out, " ", Quote(GoDuration(time)));
  // A number printed as a character.
  std::string retries = check.retries < 0x7f ? std::string(1, static_cast<char>(check.retries))
                                             : std::string("\xEF\xBF\xBD");
  return Cat(out, " ", Quote(retries, '\''), "}");
}

std::string SourcesText(std::string_view name, const Sources& sources,
                        const HistoryContext& context) {
  return Cat(name, " ", sources.chown.empty() ? "" : Cat("--chown=", sources.chown, " "),
             context.sources, " in ", sources.destination, " ");
}

class Text {
 public:
  explicit Text(const HistoryContext& context) : context_(context) {}

  std::string operator()(const Add& add) const { return SourcesText("ADD", add.sources, context_); }
  std::string operator()(const Arg&) const { return Cat(" ARG ", Join(context_.build_args, " ")); }
  std::string operator()(const Cmd&) const { return Cat(" CMD ", Quoted(context_.argv)); }
  std::string operator()(const Copy& copy) const {
    return SourcesText("COPY", copy.sources, context_);
  }
  std::string operator()(const Entrypoint&) const {
    return Cat(" ENTRYPOINT ", Quoted(context_.argv));
  }
  std::string operator()(const Env& env) const { return Pairs(" ENV", env.variables); }
  std::string operator()(const Expose& expose) const {
    return Cat(" EXPOSE ", Join(expose.ports, " "));
  }
  std::string operator()(const From& from) const { return Cat(" FROM ", from.image); }
  std::string operator()(const Healthcheck& check) const {
    return Cat(" HEALTHCHECK ", Health(check));
  }
  std::string operator()(const Label& label) const { return Pairs(" LABEL", label.labels); }
  std::string operator()(const Maintainer& maintainer) const {
    return Cat(" MAINTAINER ", maintainer.name);
  }
  std::string operator()(const Onbuild& onbuild) const {
    return Cat(" ONBUILD ", onbuild.expression);
  }
  std::string operator()(const Run&) const { return {}; }  // has its own form
  std::string operator()(const Shell& shell) const {
    return Cat(" SHELL [", Join(shell.words, " "), "]");
  }
  std::string operator()(const StopSignal& signal) const {
    return Cat(" STOPSIGNAL ", signal.signal);
  }
  std::string operator()(const User& user) const { return Cat(" USER ", user.user); }
  std::string operator()(const Volume& volume) const {
    return Cat(" VOLUME [", Join(volume.paths, " "), "]");
  }
  std::string operator()(const Workdir&) const { return Cat("WORKDIR ", context_.working_dir); }

 private:
  const HistoryContext& context_;
};

}  // namespace

std::string HistoryText(const Instruction& instruction, const HistoryContext& context) {
  if (instruction.keyword() != Keyword::kRun)
    return Cat(Join(context.shell, " "), " #(nop) ", std::visit(Text(context), instruction.what));
  std::string arguments;
  if (!context.build_args.empty())
    arguments = Cat("|", context.build_args.size(), " ", Join(context.build_args, " "), " ");
  return Cat(arguments, Join(context.argv, " "));
}

}  // namespace wherry::build
