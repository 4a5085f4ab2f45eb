// Layers over [N, sequence, width], as transformers use them. Internal to this folder.
//
// Attention is written as MatMul, Mul, (Add of the mask,) Softmax, MatMul: every runtime reads it, PyTorch exports the
// same below opset 23, where the operator Attention begins, and a pass that recognises it serves both.
#pragma once

#include <cstdint>
#include <string>

#include "graph/models/network.hpp"

namespace weft::models {

/// How a weight lies: as nn.Linear keeps it, or as GPT-2's Conv1D.
enum class Weight { out_in, in_out };

/// x W + b over the last dimension of x, of whatever rank. Weight and bias are names of initializers; no bias where
/// that is empty.
std::string affine(Network& net, const std::string& name, const std::string& x, const std::string& weight,
                   const std::string& bias, Weight order, const std::string& result = {});

/// Over the last dimension, `width` wide; scale 1 and bias 0.
std::string layer_norm(Network& net, const std::string& name, const std::string& x, std::int64_t width, double epsilon);

/// By the error function, or by the tanh form.
enum class GeluForm { exact, tanh };
std::string gelu(Network& net, const std::string& name, const std::string& x, GeluForm form);

/// Rows 0 to sequence - 1 of a table: what is added to tokens for their places.
std::string positions(Network& net, const std::string& name, const std::string& table, std::int64_t sequence);

/// The setting 'sequence', at most `positions`: a table has no rows for later tokens.
std::int64_t sequence_of(const Settings& settings, std::int64_t positions);

struct Heads {
  std::int64_t count, width;  ///< of all heads together
};
/// Checks that `heads` divides `width`.
Heads heads_of(const Settings& settings, std::int64_t width);

/// softmax(q k' / sqrt(width / heads) + mask) v by head; q, k, v and the result are [N, sequence, width]. `mask` may be
/// empty.
std::string attention(Network& net, const std::string& name, const std::vector<std::string>& qkv, const Heads& heads,
                      const std::string& mask = {});

/// [1, 1, sequence, sequence]: 0 where a token may look, minus infinity at what comes after it.
std::string causal_mask(Network& net, std::int64_t sequence);

}  // namespace weft::models
