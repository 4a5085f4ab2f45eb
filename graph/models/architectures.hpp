// The architectures behind models.hpp. Internal to this folder.
#pragma once

#include "graph/models/network.hpp"

namespace weft::models {

void build_mlp(Network& net, const Settings& settings);
void build_lenet(Network& net, const Settings& settings);
/// Basic blocks of two 3x3 convolutions, or bottlenecks 1x1-3x3-1x1 that widen four times.
enum class Block { basic, bottleneck };
void build_resnet(Network& net, const Settings& settings, Block block, const std::vector<int>& layers);
void build_mobilenet_v2(Network& net, const Settings& settings);
void build_unet(Network& net, const Settings& settings);
void build_lstm(Network& net, const Settings& settings);
void build_gpt2(Network& net, const Settings& settings);
void build_bert(Network& net, const Settings& settings);
void build_vit(Network& net, const Settings& settings);

}  // namespace weft::models
