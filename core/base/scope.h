// Undo on the way out: `ScopeExit undo([&] { Unmount(); }); ... undo.Disarm();`
#pragma once

#include <utility>

namespace wherry {

template <class F>
class [[nodiscard]] ScopeExit {
 public:
  explicit ScopeExit(F action) : action_(std::move(action)) {}
  ScopeExit(const ScopeExit&) = delete;
  ScopeExit& operator=(const ScopeExit&) = delete;
  ~ScopeExit() {
    if (armed_)
      action_();
  }
  void Disarm() { armed_ = false; }

 private:
  F action_;
  bool armed_ = true;
};

}  // namespace wherry
