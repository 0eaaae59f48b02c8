#include "engine/container_names.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "core/base/text.h"

namespace wherry::engine {

namespace {

constexpr std::string_view kAdjectives[] = {
    "agile",   "amber",    "brave",  "breezy",  "bright", "brisk",  "buoyant", "calm",
    "clever",  "coastal",  "crisp",  "curious", "daring", "deft",   "eager",   "early",
    "fair",    "faithful", "fluent", "fresh",   "gentle", "glad",   "golden",  "hardy",
    "honest",  "humble",   "ivory",  "jolly",   "keen",   "kind",   "lively",  "loyal",
    "lucid",   "mellow",   "merry",  "mild",    "misty",  "modest", "neat",    "nimble",
    "noble",   "patient",  "placid", "polite",  "proud",  "quick",  "quiet",   "ready",
    "robust",  "rustic",   "salty",  "serene",  "silent", "sleek",  "smooth",  "snug",
    "sober",   "spry",     "steady", "sunny",   "swift",  "tidal",  "tidy",    "upbeat",
    "valiant", "vivid",    "warm",   "willing", "windy",  "wise",
};

// Engineers, navigators and people of the sea.
constexpr std::string_view kSurnames[] = {
    "amundsen",  "archer",   "arkwright", "bazalgette", "beaufort",   "bell",     "blackett",
    "bligh",     "brunel",   "cabot",     "chapman",    "chichester", "cook",     "cousteau",
    "davis",     "defoe",    "dias",      "drake",      "eads",       "earhart",  "ericsson",
    "fessenden", "fisher",   "fitzroy",   "flinders",   "franklin",   "froude",   "fulton",
    "gama",      "gray",     "hadley",    "halley",     "hanno",      "harrison", "hawkins",
    "heyerdahl", "hopper",   "hudson",    "humboldt",   "huygens",    "jervis",   "knox",
    "laplace",   "lovell",   "magellan",  "marconi",    "maury",      "mercator", "morse",
    "nansen",    "newcomen", "parsons",   "plimsoll",   "polo",       "pytheas",  "raleigh",
    "rennie",    "ross",     "scott",     "selkirk",    "shackleton", "slocum",   "smeaton",
    "stevenson", "sverdrup", "tasman",    "telford",    "tesla",      "vespucci", "wallis",
    "watt",      "weddell",
};

bool IsNameCharacter(char c, bool first) {
  bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alphanumeric || (!first && (c == '_' || c == '.' || c == '-'));
}

}  // namespace

Result<std::string> ValidateName(std::string_view name) {
  std::string_view bare = name;
  if (bare.starts_with('/'))
    bare.remove_prefix(1);
  bool valid = bare.size() >= 2 && IsNameCharacter(bare[0], true) &&
               std::ranges::all_of(bare, [](char c) { return IsNameCharacter(c, false); });
  if (!valid) {
    return Fail(Errc::kInvalid,
                Cat("Invalid container name (", name,
                    "), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two characters at least"));
  }
  if (bare.size() > 255)
    return Fail(Errc::kInvalid, "Invalid container name: longer than 255 characters");
  return std::string(bare);
}

std::string RandomName(int attempt) {
  // The random source of the tree gives hexadecimal text: eight digits per choice.
  std::string random = RandomId();
  auto number = [&random](size_t index) {
    uint64_t value = 0;
    for (char c : random.substr(index * 8, 8)) {
      value = value * 16 + static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return value;
  };
  std::string name = Cat(kAdjectives[number(0) % std::size(kAdjectives)], "_",
                         kSurnames[number(1) % std::size(kSurnames)]);
  if (attempt > 0)
    Append(name, number(2) % 10);
  return name;
}

}  // namespace wherry::engine
