// The families of operators: each lists its rules; op_rules.cpp joins the lists into the table.
#pragma once

#include <vector>

#include "graph/ir/op_rules.hpp"

namespace weft::ops {

std::vector<OpRules> source_rules();
std::vector<OpRules> unary_rules();
std::vector<OpRules> binary_rules();
std::vector<OpRules> compare_rules();
std::vector<OpRules> shape_rules();    ///< reshape, transpose, broadcast
std::vector<OpRules> extent_rules();   ///< slice, pad, concat, reverse
std::vector<OpRules> gather_rules();   ///< gather, scatter_add
std::vector<OpRules> scatter_rules();  ///< gather_nd, scatter_nd, gather_elements, scatter_elements
std::vector<OpRules> reduction_rules();
std::vector<OpRules> scan_rules();  ///< argmax, argmin, cumsum, top_k
std::vector<OpRules> dot_rules();
std::vector<OpRules> convolution_rules();
std::vector<OpRules> window_rules();
std::vector<OpRules> control_rules();
std::vector<OpRules> collective_rules();
std::vector<OpRules> activation_rules();     ///< relu, sigmoid, softplus, gelu, silu
std::vector<OpRules> softmax_rules();        ///< softmax, log_softmax, cross_entropy
std::vector<OpRules> normalisation_rules();  ///< moments, batch_norm, batch_norm_grad, layer_norm
std::vector<OpRules> dropout_rules();
std::vector<OpRules> attention_rules();  ///< attention, attention_grad

}  // namespace weft::ops
