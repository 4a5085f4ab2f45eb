// weft predict: a model's outputs for the samples of a file.
#include "src/predict/predict.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "src/cli/verbs.hpp"
#include "src/compile/report.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"

namespace weft::cli {
namespace {

void print_text(const PredictRequest& request, const PredictResult& r) {
  if (r.samples > 0)
    fmt::print("{}: {} samples in {:.2f} s, {:.0f} samples/s\n", request.model, r.samples, r.seconds,
               static_cast<double>(r.samples) / r.seconds);
  else
    fmt::print("{}: one pass in {:.2f} s\n", request.model, r.seconds);
  for (const auto& s : r.sources) fmt::print("  input {}: '{}' of {}\n", s.input, s.array, s.file);
  for (const auto& o : r.outputs) fmt::print("  {}: {}\n", o.file, o.array.str());
}

void print_json(const PredictRequest& request, const PredictResult& r) {
  nlohmann::ordered_json out{{"model", request.model}, {"samples", r.samples}, {"passes", r.passes},
                             {"seconds", r.seconds},   {"inputs", {}},         {"outputs", {}}};
  for (const auto& s : r.sources) out["inputs"].push_back({{"name", s.input}, {"file", s.file}, {"array", s.array}});
  for (const auto& o : r.outputs)
    out["outputs"].push_back({{"name", o.array.name},
                              {"type", name_of(o.array.dtype)},
                              {"shape", o.array.shape.extents()},
                              {"file", o.file}});
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

ExitCode run_predict(const Arguments& arguments) {
  Options options("predict", "Runs a model on the samples of a file and writes its outputs.");
  options.argument("MODEL.onnx", "the model, such as runs/NAME/model.onnx")
      .list("input", "[NAME=]F", "file with the inputs (.npz, .h5, .pb), or with input NAME; may be repeated")
      .list("output", "[NAME=]G", "file for the outputs (.npz, .h5, .pb), or for output NAME; may be repeated")
      .list("map", "INPUT=ARRAY", "the array that an input reads, where their names differ; may be repeated")
      .value("batch", "N", "samples a pass (default 128, or as many as the model fixes)")
      .value("job", "JOB.yaml",
             "takes data.inputs, scale, mean, std and crop, compile.without, device and threads from the job")
      .value("without", "PASS[,PASS]", "leaves compiler passes out (`weft compile --dump list` names them)")
      .flag("json", "what was read and written as JSON")
      .flag("quiet", "no progress")
      .note(
          "An input reads the array of its name; else the only one in its file, or the only one that has its shape.\n"
          "The first dimension of inputs and outputs is the samples. A .pb file holds one tensor.")
      .note(
          "Stored images [N, C, H, W] are scaled as in training: with --job as the job says, else u8 images by 1/255.\n"
          "Everything else is taken as it is.")
      .example("weft predict runs/fashion/model.onnx --input fashion-test.h5 --output predictions.h5")
      .example("weft predict model.onnx --input images.npz --output scores.npz --job job.yaml")
      .example("weft predict bert.onnx --input ids=ids.pb --input mask=mask.pb --output logits=logits.pb");
  if (!options.parse(arguments)) return ExitCode::ok;
  check_left_out(options.names("without"));
  PredictRequest request;
  request.model = options.text("MODEL.onnx");
  request.inputs = options.texts("input");
  request.outputs = options.texts("output");
  if (request.outputs.empty()) throw UserError("predict: --output G is missing: the file to write");
  if (options.has("batch")) request.batch = options.integer("batch", 1, std::int64_t{1} << 31);
  JobSpec job;
  if (options.has("job")) {
    job = read_job(options.text("job"));
    request.data = job.data;
    request.mapped = job.data.inputs;
    request.without = job.compile.without;
  }
  if (options.has("without")) request.without = options.names("without");
  for (const std::string& text : options.texts("map")) {
    const auto equals = text.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
      throw UserError(fmt::format("predict: --map takes INPUT=ARRAY, not '{}'", text));
    request.mapped[text.substr(0, equals)] = text.substr(equals + 1);
  }
  const auto device = make_device(job.device, {1, job.threads}, job.deterministic, job.math == "fast");
  PosixFileSystem files;
  const PredictResult result =
      predict(request, {*device, files, options.has("quiet") ? nullptr : static_cast<std::ostream*>(&std::cerr)});
  options.has("json") ? print_json(request, result) : print_text(request, result);
  return ExitCode::ok;
}

}  // namespace weft::cli
