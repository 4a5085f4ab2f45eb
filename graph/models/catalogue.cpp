// The built-in models: what each is called, which settings it has, and who builds it.
#include "graph/models/catalogue.hpp"

namespace weft::models {
namespace {

using Setting = ModelSetting;

const Setting kSeed = {"seed", "0", "seed of the initial weights"};
const Setting kDropout = {"dropout", "0", "probability that training drops a value, 0.1 in the original"};
const Setting kLayers = {"layers", "12", "how many layers"};
const Setting kHeads = {"heads", "12", "attention heads; they divide the width"};

Setting classes(const char* count) { return {"classes", count, "number of classes"}; }
Setting channels(const char* count) { return {"channels", count, "channels of the input images"}; }
Setting image(const char* extent) { return {"image", extent, "height and width of the input images, in pixels"}; }
Setting sequence(const char* length) { return {"sequence", length, "tokens in a sample"}; }
Setting vocabulary(const char* size) { return {"vocabulary", size, "number of different tokens"}; }
Setting positions(const char* count) {
  return {"positions", count, "rows of the table of positions: the longest sequence"};
}
Setting width(const char* size, const char* meaning) { return {"width", size, meaning}; }

void resnet18(Network& net, const Settings& settings) { build_resnet(net, settings, Block::basic, {2, 2, 2, 2}); }
void resnet50(Network& net, const Settings& settings) { build_resnet(net, settings, Block::bottleneck, {3, 4, 6, 3}); }

constexpr std::int64_t kWithGelu = 20;  ///< the opset that brought the operator

}  // namespace

std::vector<Architecture> catalogue() {
  const std::vector<Setting> resnet = {classes("1000"), image("224"), channels("3"),
                                       width("64", "channels of the first stage"), kSeed};
  return {
      {{"mlp",
        "fully connected layers with ReLU between them",
        {{"inputs", "784", "extents of one sample, flattened before the first layer: 784 or 1,28,28"},
         {"hidden", "256,128", "widths of the hidden layers"},
         classes("10"),
         kSeed}},
       build_mlp},
      {{"lenet",
        "LeNet-5 style network for 28x28 images: two convolutions, two fully connected layers",
        {classes("10"), channels("1"), kSeed}},
       build_lenet},
      {{"resnet18", "residual network of 18 layers (basic blocks)", resnet}, resnet18},
      {{"resnet50", "residual network of 50 layers (bottlenecks, stride on the 3x3 convolution)", resnet}, resnet50},
      {{"mobilenet_v2",
        "inverted residuals with depthwise convolutions",
        {classes("1000"),
         image("224"),
         channels("3"),
         width("1", "factor of all channels, which stay multiples of 8"),
         {"dropout", "0.2", "probability that training drops a value before the classifier"},
         kSeed}},
       build_mobilenet_v2},
      {{"unet",
        "U-Net for segmentation: a class for every pixel",
        {classes("2"),
         image("128"),
         channels("3"),
         {"widths", "32,64,128,256", "channels of each level; every level but the last halves the image"},
         kSeed}},
       build_unet},
      {{"lstm",
        "recurrent language model: LSTM layers over a sequence of tokens",
        {vocabulary("10000"),
         sequence("64"),
         width("650", "of the embedding and of the layers"),
         {"layers", "2", "how many layers"},
         kSeed}},
       build_lstm},
      {{"bert",
        "BERT with the head of masked language modelling; tokens in, scores of the vocabulary out",
        {vocabulary("30522"),
         sequence("128"),
         positions("512"),
         width("768", "of a token's vector"),
         kLayers,
         kHeads,
         {"intermediate", "3072", "width inside the feed-forward layers"},
         kDropout,
         kSeed}},
       build_bert,
       kWithGelu},
      {{"gpt2",
        "GPT-2, a causal language model; tokens in, scores of the next one out",
        {vocabulary("50257"), sequence("128"), positions("1024"), width("768", "of a token's vector"), kLayers, kHeads,
         kDropout, kSeed}},
       build_gpt2,
       kWithGelu},
      {{"vit",
        "vision transformer (ViT-B/16): patches of an image as tokens",
        {classes("1000"),
         image("224"),
         {"patch", "16", "height and width of a patch, in pixels"},
         channels("3"),
         width("768", "of a token's vector"),
         kLayers,
         kHeads,
         {"mlp", "3072", "width inside the feed-forward layers"},
         kDropout,
         kSeed}},
       build_vit,
       kWithGelu},
  };
}

}  // namespace weft::models
