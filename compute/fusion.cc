#include "paceline/compute/fusion_internal.h"

namespace paceline {

Fusion::Fusion(const Program& program)
    : operations(program.operations.size()),
      readers(program.activations.size()),
      writers(program.activations.size()),
      learned(program.activations.size(), false) {
  const std::size_t loss = program.operations.size() - 1;
  const auto kind = [&](std::size_t k) -> const OperationKind& {
    return program.operations[k].kind;
  };
  for (std::size_t k = 0; k <= loss; ++k) {
    const Operation& op = program.operations[k];
    readers[op.input].push_back(k);
    if (std::holds_alternative<Add>(op.kind)) readers[op.other].push_back(k);
    if (k == loss) break;
    writers[op.output] = k;
    operations[k].output = op.output;
    const ParameterCounts counts =
        parameter_counts(op.kind, program.activations[op.input], program.activations[op.output]);
    learned[op.output] = counts.weight > 0 || learned[op.input] ||
                         (std::holds_alternative<Add>(op.kind) && learned[op.other]);
  }
  /// The one operation that reads what k ends up writing.
  const auto only_reader = [&](std::size_t k) -> std::optional<std::size_t> {
    const std::vector<std::size_t>& all = readers[operations[k].output];
    return all.size() == 1 ? std::optional(all.front()) : std::nullopt;
  };
  for (std::size_t k = 0; k < loss; ++k) {
    if (operations[k].absorbed) continue;
    Fused& fused = operations[k];
    const auto absorb = [&](std::size_t reader) {
      operations[reader].absorbed = true;
      fused.output = program.operations[reader].output;
      return reader;
    };
    if (std::holds_alternative<BatchNorm>(kind(k)))
      if (const auto reader = only_reader(k);
          reader && std::holds_alternative<Add>(kind(*reader))) {
        const Operation& add = program.operations[*reader];
        const std::size_t other = add.input == fused.output ? add.other : add.input;
        if (!writers[other] ||
            *writers[other] < k) {  // else the other side takes the addition along
          fused.other = other;
          fused.add = absorb(*reader);
        }
      }
    if (std::holds_alternative<Convolution>(kind(k)) || std::holds_alternative<Linear>(kind(k)) ||
        std::holds_alternative<BatchNorm>(kind(k)) || std::holds_alternative<Add>(kind(k)))
      if (const auto reader = only_reader(k); reader && std::holds_alternative<Relu>(kind(*reader)))
        fused.relu = absorb(*reader);
  }
}

}  // namespace paceline
