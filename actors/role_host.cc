#include "paceline/actors/role_host.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "paceline/result.h"

namespace paceline {

std::uint64_t RoleHost::publish(std::uint32_t index,
                                const std::function<void(std::span<std::byte>)>& write) {
  complete(index);
  auto loan = noted_loan(index);
  if (!loan) {
    count("busy");
    return 0;
  }
  const std::span<std::byte> bytes = loan->bytes(), own = own_part(index, bytes);
  write(own);
  if (own.size() < bytes.size()) write_buffers(bytes.subspan(own.size()));
  coordination_math().finish();
  return std::move(*loan).publish();
}

std::uint64_t RoleHost::publish(std::uint32_t index, ConstVector v) {
  if (!may_publish(v)) return 0;
  const VectorMath& m = coordination_math();
  return publish(index, [&](std::span<std::byte> to) { m.copy({to.data(), v.count}, v); });
}

std::uint64_t RoleHost::publish_soon(std::uint32_t index, ConstVector v) {
  if (const auto it = publishing_.find(index); it != publishing_.end()) {
    if (it->second.done()) return complete(index);
    count("pending");
    return 0;
  }
  if (!may_publish(v)) return 0;
  auto loan = noted_loan(index);
  if (!loan) {
    count("busy");
    return 0;
  }
  const VectorMath& m = coordination_math();
  const std::span<std::byte> bytes = loan->bytes(), own = own_part(index, bytes);
  Publishing begun{std::move(*loan), m.begin_copy({own.data(), v.count}, v), nullptr};
  if (own.size() < bytes.size()) begun.buffers = begin_buffers(bytes.subspan(own.size()));
  if (begun.parameters || begun.buffers) {
    publishing_.emplace(index, std::move(begun));
    return 0;
  }
  m.finish();
  return std::move(begun.loan).publish();
}

std::optional<Loan> RoleHost::noted_loan(std::uint32_t index) {
  auto lent = loan(index);
  note(CourseEntry::Kind::loaned, index, 0, lent.has_value());
  return lent;
}

std::uint64_t RoleHost::complete(std::uint32_t index) {
  auto begun = publishing_.extract(index);
  if (!begun) return 0;
  begun.mapped().parameters.reset();
  begun.mapped().buffers.reset();
  return std::move(begun.mapped().loan).publish();
}

/// Of the slot kParameters, the parameters without the buffers behind them.
std::span<std::byte> RoleHost::own_part(std::uint32_t index, std::span<std::byte> bytes) const {
  return index == kParameters ? bytes.first(math().bytes(dimension())) : bytes;
}

bool RoleHost::may_publish(ConstVector v) {
  if (place().role(self()) != Role::worker || coordination_math().finite(v)) return true;
  if (begin_again("parameters are")) forget_losses();
  return false;
}

void RoleHost::count_step(double loss) {
  ++steps_;
  note(CourseEntry::Kind::gradient, 0, 0, std::bit_cast<std::uint64_t>(loss));
  if (std::isfinite(loss) || !begin_again("loss is")) return;
  forget_losses();
  math().fill(g(), 0);
}

void RoleHost::finish_step(const GradientOp& op) {
  const std::uint64_t before = begun_again_;
  count_step(op.loss);
  if (!op.update) return;
  if (!op.updated || begun_again_ != before) return update(*op.update);
  sgd_.learning_rate = *op.updated;
  noted_rate(*op.updated);
}

/// What is on its way belongs to what the worker was before.
void RoleHost::forget_losses() {
  note(CourseEntry::Kind::began_again, 0, 0, steps_);
  abandon();
  ++begun_again_;
}

void RoleHost::pull(const Pull& pull) {
  math().pull(x(), pull);
  math().finish();  // the leader is pinned no longer than that
}

void RoleHost::update(std::span<const Pull> pulls) {
  sgd_.learning_rate = learning_rate();
  sgd_.gradient_scale = gradient_scale();
  math().update(sgd_, x(), momentum(), g(), pulls);
  if (!pulls.empty()) math().finish();
}

/// @source Pascanu, Mikolov, Bengio 2013, Algorithm 1
double RoleHost::gradient_scale() {
  if (!clips()) return 1;
  const double norm = std::sqrt(math().norm_squared(g()));
  if (!std::isfinite(norm) || norm <= setup_.clip_norm) return 1;
  count("clipped");
  return setup_.clip_norm / norm;
}

double RoleHost::coordination_share(std::size_t pulls) const {
  double own = sgd_.form == Momentum::none ? 3 : 5;  // x and momentum both ways, g once,
  if (clips()) ++own;                                // and once for its norm
  return static_cast<double>(pulls) / (own + static_cast<double>(pulls));
}

Vector RoleHost::vector(std::string_view name) {
  if (const auto it = vectors_.find(name); it != vectors_.end()) return it->second;
  return vectors_.emplace(std::string(name), allocate(name)).first->second;
}

std::span<double> RoleHost::numbers(std::string_view name, std::size_t count) {
  std::vector<double>& numbers = numbers_[std::string(name)];
  if (numbers.empty()) numbers.resize(count);
  PACELINE_CHECK(numbers.size() == count, "{} numbers '{}', not {}", numbers.size(), name, count);
  return numbers;
}

void RoleHost::count(std::string_view name, std::uint64_t n) {
  if (const auto it = counts_.find(name); it != counts_.end())
    it->second += n;
  else
    counts_.emplace(std::string(name), n);
}

void RoleHost::record_missing(std::uint64_t round, std::string_view what,
                              std::span<const Address> missing) {
  if (stopping() || missing.empty()) return;
  std::string text =
      fmt::format("round {}: {} waited in vain for {} from", round, place().name(self()), what);
  for (std::size_t i = 0; i < missing.size(); ++i) {
    text += fmt::format("{} {}", i ? "," : "", place().name(missing[i]));
    if (const auto it = heard_.find(missing[i].index); it != heard_.end())
      text += fmt::format(" (last heard {:.3f} s ago, in round {})",
                          std::chrono::duration<double>(now() - it->second.at).count(),
                          it->second.round);
    else
      text += " (never heard)";
  }
  if (patience_.count() > 0)
    text += fmt::format("; the deadline was {:.3g} s", std::chrono::duration<double>(patience_).count());
  count("timeout");
  record(FaultEvent{round, std::move(text)});
}

}  // namespace paceline
