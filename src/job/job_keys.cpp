// Every setting of a job, once: name, field, range, unit and meaning.
#include "src/job/job_keys.hpp"

#include "graph/lowering/lower.hpp"
#include "src/job/special_keys.hpp"
#include "src/settings/key_table.hpp"
#include "src/settings/text_checks.hpp"

namespace weft {
namespace {

// Limits that only a typing error or an attack exceeds; larger values would overflow sizes later.
constexpr std::int64_t kMaxBatch = 1'000'000'000;
constexpr std::int64_t kMaxSteps = 1'000'000'000'000;
constexpr NumberRange kAtLeastZero{0, kUnbounded};
constexpr NumberRange kAboveZero{0, kUnbounded, true};
constexpr NumberRange kFraction{0, 1};

Keys<DataSpec> data_keys() {
  using D = DataSpec;
  Keys<D> keys;
  keys.push_back(text<D>("train", &D::train, "training data, an HDF5 file (see `weft data import`)").required());
  keys.push_back(text<D>("eval", &D::eval, "evaluation data, an HDF5 file; none: no evaluation").omit_empty());
  keys.push_back(text_map<D>("inputs", &D::inputs, "model input: dataset; inputs not named take their own name"));
  keys.push_back(text<D>("target", &D::target, "dataset of the loss target; \"\" when the model computes the loss"));
  keys.push_back(boolean<D>("shuffle", &D::shuffle, "a new order every epoch, from the seed; false keeps file order"));
  keys.push_back(number_list<D>("mean", &D::mean, {-kUnbounded, kUnbounded}, "scaled input",
                                "subtracted from each channel of an image input; [] for nothing"));
  keys.push_back(number_list<D>("std", &D::std, kAboveZero, "scaled input",
                                "divides each channel of an image input; [] for nothing"));
  keys.push_back(number<D>("scale", &D::scale, kAboveZero, "",
                           "multiplies stored integers; auto is 1/255 for 8-bit images, otherwise 1", "auto"));
  keys.push_back(integer<D>("crop", &D::crop, {0, 65536}, "pixels",
                            "square crop of images: random in training, centred in evaluation", "none"));
  keys.push_back(integer<D>("crop_padding", &D::crop_padding, {0, 4096}, "pixels",
                            "zeros put around an image before it is cropped"));
  keys.push_back(boolean<D>("flip", &D::flip, "mirrors images left to right at random in training"));
  return keys;
}

Key<JobSpec> loss_section() {
  using L = LossSpec;
  Keys<L> keys;
  keys.push_back(choice<L>("name", &L::name, {"cross_entropy", "mse", "l1", "huber", "bce_with_logits"},
                           "what training minimises, as in PyTorch; the mean over samples")
                     .omit_empty());
  keys.push_back(
      text<L>("output", &L::output, "instead of a name: the model's own scalar output to minimise").omit_empty());
  keys.push_back(number<L>("label_smoothing", &L::label_smoothing, kFraction, "", "weight of the uniform distribution")
                     .only_for({"cross_entropy"}));
  keys.push_back(integer<L>("ignore_index", &L::ignore_index, {-kNoLimit, kNoLimit}, "class", "targets not counted")
                     .only_for({"cross_entropy"}));
  keys.push_back(integer<L>("class_axis", &L::class_axis, {-8, 7}, "axis",
                            "axis of the logits that holds the classes; auto compares shapes", "auto")
                     .only_for({"cross_entropy"}));
  keys.push_back(number<L>("delta", &L::delta, kAboveZero, "target", "where the loss turns from squared to linear")
                     .only_for({"huber"}));
  return section<JobSpec, L>("loss", &JobSpec::loss, std::move(keys), "what is minimised; a bare name will do",
                             {.scalar_key = "name",
                              .defaults_of =
                                  [](const L& named, const YamlNode& node) {
                                    auto loss = named;
                                    if (node.find("output") && !node.find("name")) loss.name.clear();
                                    return loss;
                                  },
                              .variant_of = [](const L& loss) { return loss.name; }});
}

Keys<ParameterGroup> group_keys() {
  using G = ParameterGroup;
  Keys<G> keys;
  keys.push_back(text<G>("pattern", &G::pattern, "parameter names, with * and ?; the first group that matches applies")
                     .required());
  keys.push_back(number<G>("lr_scale", &G::lr_scale, kAtLeastZero, "", "multiplies the learning rate"));
  keys.push_back(number<G>("weight_decay", &G::weight_decay, kAtLeastZero, "", "replaces the optimiser's"));
  return keys;
}

Key<JobSpec> optimizer_section() {
  using O = OptimizerSpec;
  const std::vector<std::string> adam_family{"adam", "adamw", "lamb"};
  Keys<O> keys;
  keys.push_back(choice<O>("name", &O::name, {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lamb", "lars"},
                           "update rule, with PyTorch's formulas and defaults"));
  keys.push_back(number<O>("lr", &O::lr, kAtLeastZero, "", "learning rate before the schedule"));
  keys.back().info.fallback = "0.001 (rmsprop, adagrad, lars: 0.01)";
  keys.push_back(
      number<O>("momentum", &O::momentum, {0, 1}, "", "of the velocity").only_for({"sgd", "rmsprop", "lars"}));
  keys.push_back(
      number<O>("dampening", &O::dampening, {0, 1}, "", "of the gradient entering the velocity").only_for({"sgd"}));
  keys.push_back(
      boolean<O>("nesterov", &O::nesterov, "Nesterov's momentum; needs momentum and no dampening").only_for({"sgd"}));
  keys.push_back(betas_key().only_for(adam_family));
  keys.push_back(
      number<O>("eps", &O::eps, kAtLeastZero, "", "added to the denominator")
          .only_for({"adam", "adamw", "rmsprop", "adagrad", "lamb", "lars"}, "1e-08 (adagrad: 1e-10, lamb: 1e-06)"));
  keys.push_back(number<O>("alpha", &O::alpha, kFraction, "", "decay of the mean square").only_for({"rmsprop"}));
  keys.push_back(boolean<O>("centered", &O::centered, "divides by the deviation instead of the root mean square")
                     .only_for({"rmsprop"}));
  keys.push_back(
      number<O>("lr_decay", &O::lr_decay, kAtLeastZero, "1/step", "lr / (1 + step * lr_decay)").only_for({"adagrad"}));
  keys.push_back(number<O>("initial_accumulator_value", &O::initial_accumulator, kAtLeastZero, "",
                           "what the sum of squares starts from")
                     .only_for({"adagrad"}));
  keys.push_back(
      number<O>("trust_coefficient", &O::trust_coefficient, kAboveZero, "", "ratio of a layer's update to its weights")
          .only_for({"lars"}));
  keys.push_back(number<O>("weight_decay", &O::weight_decay, kAtLeastZero, "",
                           "L2 penalty in the gradient; adamw and lamb: decay of the weights themselves"));
  keys.back().info.fallback = "0 (adamw: 0.01)";
  keys.push_back(
      section_list<O, ParameterGroup>("groups", &O::groups, group_keys(), "parameters with settings of their own"));
  keys.push_back(
      number<O>("clip_norm", &O::clip_norm, kAtLeastZero, "", "longest allowed gradient, over all parameters", "none"));
  keys.push_back(number<O>("clip_value", &O::clip_value, kAtLeastZero, "", "largest allowed gradient element", "none"));
  return section<JobSpec, O>(
      "optimizer", &JobSpec::optimizer, std::move(keys), "how parameters are updated; a bare name will do",
      {.scalar_key = "name",
       .defaults_of = [](const O& named, const YamlNode&) { return default_optimizer(named.name); },
       .variant_of = [](const O& optimizer) { return optimizer.name; }});
}

Key<JobSpec> schedule_section() {
  using S = ScheduleSpec;
  Keys<S> keys;
  keys.push_back(choice<S>("name", &S::name, {"constant", "linear", "cosine", "step", "exponential", "polynomial"},
                           "how the learning rate goes after the warm-up"));
  keys.push_back(number<S>("warmup", &S::warmup, kAtLeastZero, "steps",
                           "linear rise at the start: a fraction of all steps below 1, else a number of steps"));
  keys.push_back(number<S>("final_factor", &S::final_factor, kAtLeastZero, "lr", "where the learning rate ends")
                     .only_for({"linear", "cosine", "polynomial"}));
  keys.push_back(integer<S>("step_size", &S::step_size, {0, kMaxSteps}, "steps",
                            "steps between decays; exponential: auto is one epoch", "auto")
                     .only_for({"step", "exponential"}));
  keys.push_back(
      number<S>("gamma", &S::gamma, kAboveZero, "", "factor of one decay").only_for({"step", "exponential"}));
  keys.push_back(number<S>("power", &S::power, kAboveZero, "", "exponent of the decay").only_for({"polynomial"}));
  return section<JobSpec, S>("schedule", &JobSpec::schedule, std::move(keys),
                             "learning rate over time; a bare name will do",
                             {.scalar_key = "name",
                              .defaults_of = [](const S& named, const YamlNode&) { return named; },
                              .variant_of = [](const S& schedule) { return schedule.name; }});
}

Key<JobSpec> checkpoint_section() {
  using C = CheckpointSpec;
  Keys<C> keys;
  keys.push_back(every_key());
  keys.push_back(
      integer<C>("keep", &C::keep, {1, 1'000'000}, "files", "newest kept; older ones go once a newer is good"));
  return section<JobSpec, C>("checkpoint", &JobSpec::checkpoint, std::move(keys),
                             "when training is saved; a bare interval will do", {.scalar_key = "every"});
}

Key<JobSpec> parallel_section() {
  using P = ParallelSpec;
  Keys<P> keys;
  keys.push_back(integer<P>("data", &P::data, {0, 1'000'000}, "ranks", "ranks that share a batch", "auto"));
  keys.push_back(integer<P>("tensor", &P::tensor, {1, 4096}, "ranks",
                            "ranks that share each layer: parameters are cut over them"));
  keys.push_back(split_key());
  keys.push_back(integer<P>("pipeline", &P::pipeline, {1, 4096}, "ranks",
                            "ranks that share the layers' sequence; this version refuses more than 1"));
  keys.push_back(integer<P>("zero", &P::zero, {0, 3}, "",
                            "what data-parallel ranks share out beside the batch (ZeRO): 1 optimiser state, 2 sums of "
                            "gradients between micro-batches too, 3 parameters too"));
  keys.push_back(
      choice<P>("recompute", &P::recompute, {"none", "selective", "full"},
                "activations computed again in the backward pass instead of kept: none (but what takes next to no "
                "time), selective (elementwise ones, up to 15 % of the time of contractions), full (whole segments "
                "of the forward pass, about a quarter more time)"));
  return auto_section(section<JobSpec, P>("parallel", &JobSpec::parallel, std::move(keys),
                                          "how ranks share the work; or the word auto"),
                      &JobSpec::parallel);
}

Keys<CompileSpec> compile_keys() {
  Keys<CompileSpec> keys;
  keys.push_back(text_list<CompileSpec>("without", &CompileSpec::without,
                                        "compiler passes to leave out; values stay right, time and memory change",
                                        switchable_passes()));
  keys.push_back(number<CompileSpec>("tune", &CompileSpec::tune, {0, 3600}, "seconds",
                                     "for measuring schedules of generated kernels that earlier starts have not "
                                     "measured; they change no bit; 0: the default schedules"));
  return keys;
}

Keys<LossScaleSpec> loss_scale_keys() {
  using L = LossScaleSpec;
  Keys<L> keys;
  keys.push_back(
      number<L>("initial", &L::initial, {1.0 / 65536, 1.8e19}, "",
                "the loss times this is what gradients are taken of, so that small ones are not lost in f16"));
  keys.push_back(
      integer<L>("growth_interval", &L::growth_interval, {1, kMaxSteps}, "steps",
                 "without overflow after which the scale doubles; a step that overflows is skipped and halves it"));
  return keys;
}

Keys<ResourceSpec> resource_keys() {
  using R = ResourceSpec;
  Keys<R> keys;
  keys.push_back(integer<R>("nodes", &R::nodes, {1, 1'000'000}, "nodes", "for plan and submit", "auto"));
  keys.push_back(integer<R>("ranks_per_node", &R::ranks_per_node, {1, 4096}, "ranks", "for plan and submit", "auto"));
  keys.push_back(text<R>("time", &R::time, "time limit, HH:MM:SS or D-HH:MM:SS", check_time_limit));
  keys.push_back(text<R>("partition", &R::partition, "default: the site's", check_optional_name).omit_empty());
  keys.push_back(text<R>("account", &R::account, "default: the site's", check_optional_name).omit_empty());
  keys.push_back(text<R>("qos", &R::qos, "default: the site's", check_optional_name).omit_empty());
  return keys;
}

}  // namespace

OptimizerSpec default_optimizer(const std::string& name) {
  OptimizerSpec o;
  o.name = name;
  if (name == "rmsprop" || name == "adagrad" || name == "lars") o.lr = 1e-2;
  if (name == "adagrad") o.eps = 1e-10;
  if (name == "lamb") o.eps = 1e-6;
  if (name == "adamw") o.weight_decay = 1e-2;
  return o;
}

Keys<JobSpec> job_keys() {
  using J = JobSpec;
  Keys<J> keys;
  keys.push_back(
      text<J>("name", &J::name, "names the run folder: letters, digits, '.', '_' and '-'", check_name).required());
  keys.push_back(text<J>("model", &J::model, "the network, an ONNX file").required());
  keys.push_back(section<J, DataSpec>("data", &J::data, data_keys(), "what is trained on").required());
  keys.push_back(loss_section());
  keys.push_back(text_list<J>("metrics", &J::metrics, "reported beside the loss",
                              {"accuracy", "top5", "perplexity", "mean_error"}));
  keys.push_back(optimizer_section());
  keys.push_back(schedule_section());
  keys.push_back(integer<J>("batch", &J::batch, {1, kMaxBatch}, "samples", "a step's samples, over all ranks"));
  keys.push_back(integer<J>("micro_batch", &J::micro_batch, {1, kMaxBatch}, "samples",
                            "samples that a rank takes through the network at a time", "auto"));
  keys.push_back(number<J>("epochs", &J::epochs, {0, 1e9, true}, "epochs", "passes over the training data"));
  keys.push_back(integer<J>("steps", &J::steps, {1, kMaxSteps}, "steps", "length in steps; wins over epochs"));
  keys.push_back(precision_key());
  keys.push_back(section<J, LossScaleSpec>("loss_scale", &J::loss_scale, loss_scale_keys(), "of precision: f16"));
  keys.push_back(choice<J>("math", &J::math, {"exact", "fast"},
                           "of convolutions; fast takes Winograd's algorithm where it is quicker, whose results differ "
                           "from exact ones by up to 2e-5 of the largest"));
  keys.push_back(integer<J>("seed", &J::seed, {0, kNoLimit}, "", "of weights, order, augmentation and dropout"));
  keys.push_back(boolean<J>("deterministic", &J::deterministic, "the same bits at equal rank and thread counts"));
  keys.push_back(batch_norm_section());
  keys.push_back(text_list<J>("train", &J::train, "initialisers trained besides those found, by pattern"));
  keys.push_back(text_list<J>("freeze", &J::freeze, "parameters and batch norms left as they are, by pattern"));
  keys.push_back(text_list<J>("tie", &J::tie, "equal initialisers that stay one parameter, by pattern"));
  keys.push_back(checkpoint_section());
  keys.push_back(parallel_section());
  keys.push_back(section<J, CompileSpec>("compile", &J::compile, compile_keys(), "how steps become programs"));
  keys.push_back(choice<J>("device", &J::device, {"auto", "cpu", "cuda", "opencl"}, "where ranks compute"));
  keys.push_back(integer<J>("threads", &J::threads, {0, 4096}, "threads", "compute threads of a rank", "auto"));
  keys.push_back(section<J, ResourceSpec>("resources", &J::resources, resource_keys(), "what plan and submit ask for"));
  keys.push_back(number<J>("timeout_seconds", &J::timeout_seconds, {0, 1e6, true}, "seconds",
                           "longest wait for another rank before the job ends"));
  keys.push_back(text<J>("time_limit", &J::time_limit,
                         "of one start of train, HH:MM:SS or D-HH:MM:SS: it saves and ends before, with exit code 75; "
                         "default: none",
                         check_time_limit)
                     .omit_empty());
  keys.push_back(integer<J>("log_every", &J::log_every, {0, kMaxSteps}, "steps", "between log lines", "auto"));
  keys.push_back(integer<J>("check_replicas_every", &J::check_replicas_every, {0, kMaxSteps}, "steps",
                            "between comparisons of all ranks' parameters; none: at start and checkpoints", "none"));
  keys.push_back(text<J>("runs", &J::runs, "folder of the run folders"));
  return keys;
}

}  // namespace weft
