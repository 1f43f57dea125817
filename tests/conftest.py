"""Four virtual devices for every test, one compilation cache, small real data."""

import gc
import os
from importlib import metadata
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling is most of the time of tiny tests: XLA's dear passes are left out here. Set it to 0 to test the code that
# users run.
cheap = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0"
# Its newer emitters of fused loops take most of what is left: without them the step of a small conv net with attention
# compiles in 1.3 CPU seconds instead of 5.2, normal draws of a new shape in 0.11 instead of 0.24. In one part, instead
# of up to 32 for as many threads, those draws are another 15 % cheaper. Unknown flags end the process: by version.
if cheap and metadata.version("jaxlib") == "0.10.2":
    quick = ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
    # the user's own come later and win
    os.environ["XLA_FLAGS"] = " ".join([*quick, *os.environ.get("XLA_FLAGS", "").split()])
# So quick are most programs now that none would be kept for the other worker, the other processes and the next run.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
# Tracing makes objects by the thousand, few of them garbage: looking for it was 5 % of the time.
gc.set_threshold(20_000, 20, 20)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import genjax  # noqa: E402, F401  (settles XLA's flags before the first backend)
from genjax.machine import platform  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)
platform.enable_compilation_cache()


@pytest.fixture(scope="session")
def digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits as a split: {"image": uint8 [1797, 8, 8, 1], "label": int32 [1797]}."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return {
        "image": np.round(x * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1),
        "label": y.astype(np.int32),
    }


# Cases that cost seconds and whose like `make test` has: `make test-all` takes them, as it does what is marked `all`
LONG = (
    "ae/test_colourise.py::test_a_run_measures_its_colourings_beside_what_takes_no_model",
    "diffusion/test_discrete.py::test_a_step_lowers_the_bound_of_a_text[noise1]",
    "diffusion/test_discrete.py::test_the_bound_is_the_mean_over_all_orders[0.5-schedule0]",
    "diffusion/test_discrete.py::test_the_bound_is_the_mean_over_all_orders[1.0-schedule1]",
    "nets/test_attention.py::test_turns_have_the_derivatives_of_the_whole_batch",
    "nets/test_fill.py::test_one_pixel_is_enough_and_none_gives_nothing",
    "test_asked.py::test_samples_that_are_real_are_read_as_real_ones_are",
    "ae/test_restoring.py::test_the_table_is_of_larger_pictures_with_noise_as_it_was_asked_for",
    "diffusion/test_discrete.py::test_a_step_lowers_the_bound_of_a_text[noise0]",
    "diffusion/test_gaussian.py::test_a_net_that_is_given_a_degraded_image_sees_it",
    "sequence/test_findings.py::test_a_run_on_a_chain_ends_with_its_entropy[masked]",
    "test_marking.py::test_where_the_mark_is_is_learned_beside",
    "training/test_longer.py::test_a_longer_run_is_what_it_would_be_from_the_beginning[rate2-16-24-8]",
    "translate/test_bridge.py::test_two_domains_are_coupled_within_the_step",
    "translate/test_talking.py::test_a_new_person_begins_at_the_embedding_and_fitting_brings_her_nearer",
    "translate/test_unpaired.py::test_evaluate_is_per_example_and_sample_is_a_function_of_the_index[cycle",
    "test_strangers.py::test_bits_are_those_of_the_likelihood",
    "test_strangers.py::test_every_score_has_its_table",
    "translate/test_unpaired.py::test_resume_is_bit_identical_pool_and_all[cycle",
    "test_marking.py::test_the_second_sight_fits_the_line_again",
    "test_classical.py::test_densities_integrate_to_one_and_samples_agree_with_them[KernelDensity",
    "test_conditions.py::test_denoisers_see_every_condition_that_they_take[mlp]",
    "test_contract.py::test_a_step_with_nan_is_skipped_as_a_whole[vae-conditional-iwae]",
    "test_contract.py::test_microbatches_are_one_batch[flow-jit]",
    "test_contract.py::test_microbatches_are_one_batch[gan-ada-jit]",
    "test_contract.py::test_microbatches_are_one_batch[vae-pmap]",
    "test_contract.py::test_microbatches_bound_the_memory_of_a_step",
    "test_docs.py::test_the_lines_of_the_readme_open_a_run",
    "test_docs.py::test_the_python_of_a_page_runs[runs]",
    "test_experiments.py::test_diffusion_draws_and_measures_samples",
    "test_experiments.py::test_every_config_traces_a_step_an_evaluation_and_a_sample[bits-base]",
    "test_experiments.py::test_every_config_traces_a_step_an_evaluation_and_a_sample[stylegan2-base]",
    "test_experiments.py::test_gan_draws_and_measures_samples",
    "test_experiments.py::test_vae_base_draws_and_measures_what_it_says",
    "test_recipes.py::test_a_recipe_is_of_the_size_of_its_paper[jit_b_16]",
    "test_recipes.py::test_a_recipe_takes_a_step_and_draws_samples",
    "test_report.py::test_a_browser_shows_it_on_a_phone_and_on_a_desk",
    "benchmarks/test_benchmarks.py::test_every_net_of_every_size_can_be_built[unet]",
    "benchmarks/test_profile.py::test_a_product_is_seen_by_jax",
    "diffusion/test_editing.py::test_inpainting_draws_from_the_conditional_distribution[0.0]",
    "diffusion/test_editing.py::test_resampling_is_what_lets_the_parts_agree",
    "diffusion/test_editing.py::test_restorations_keep_what_is_known_and_draw_the_rest_from_the_data[Coarse(factor=2)-replace]",
    "diffusion/test_editing.py::test_restorations_keep_what_is_known_and_draw_the_rest_from_the_data[Grey()",
    "diffusion/test_gaussian.py::test_likelihood_by_the_flow_is_the_density[ddpm]",
    "diffusion/test_gaussian.py::test_likelihood_by_the_flow_is_the_density[ddpm_cosine]",
    "diffusion/test_gaussian.py::test_likelihood_by_the_flow_is_the_density[jit]",
    "diffusion/test_gaussian.py::test_likelihood_by_the_flow_is_the_density[v]",
    "diffusion/test_gaussian.py::test_the_optimal_loss_on_gaussian_data_is_its_closed_form[ddpm]",
    "diffusion/test_gaussian.py::test_the_optimal_loss_on_gaussian_data_is_its_closed_form[ddpm_cosine]",
    "diffusion/test_gaussian.py::test_the_optimal_loss_on_gaussian_data_is_its_closed_form[jit]",
    "diffusion/test_gaussian.py::test_the_optimal_loss_on_gaussian_data_is_its_closed_form[v]",
    "diffusion/test_onestep.py::test_images_are_trained_in_minus_one_to_one_and_sampled_in_zero_to_one",
    "diffusion/test_onestep.py::test_the_adaptive_weight[0.5",
    "diffusion/test_onestep.py::test_the_adaptive_weight[1.0",
    "diffusion/test_onestep.py::test_the_consistency_loss_is_a_weighted_pseudo_huber_error",
    "diffusion/test_onestep.py::test_training_on_a_ring_brings_one_step_samples_near_the_data",
    "diffusion/test_onestep.py::test_with_one_time_it_is_flow_matching_whatever_the_net",
    "diffusion/test_samplers.py::test_ddim_is_euler_without_eta_and_ddpm_with_eta_one",
    "diffusion/test_samplers.py::test_every_sampler_returns_the_data_distribution[DDIM(eta=0.5)]",
    "diffusion/test_samplers.py::test_every_sampler_returns_the_data_distribution[DDIM(eta=1.0)]",
    "diffusion/test_samplers.py::test_every_sampler_returns_the_data_distribution[EulerMaruyama()]",
    "diffusion/test_samplers.py::test_every_sampler_returns_the_data_distribution[Heun(churn=0.3",
    "diffusion/test_samplers.py::test_few_even_steps_of_a_flow[2]",
    "diffusion/test_samplers.py::test_few_even_steps_of_a_flow[8]",
    "diffusion/test_samplers.py::test_guidance_moves_the_mean_as_the_formula_says[1.0]",
    "diffusion/test_samplers.py::test_guidance_moves_the_mean_as_the_formula_says[3.5]",
    "diffusion/test_vdm.py::test_continuous_loss_does_not_depend_on_the_interior_of_the_schedule",
    "diffusion/test_vdm.py::test_descending_the_interior_lowers_the_variance_and_not_the_mean",
    "diffusion/test_vdm.py::test_images_are_sampled_in_their_range",
    "diffusion/test_vdm.py::test_interior_descends_the_square_of_the_loss_and_all_else_the_loss",
    "diffusion/test_vdm.py::test_more_steps_lower_the_bound_towards_continuous_time",
    "diffusion/test_vdm.py::test_reconstruction_is_the_softmax_over_grey_levels_in_value_and_gradient[-13.3]",
    "diffusion/test_vdm.py::test_steps_on_images_lower_the_bound_and_train_every_parameter",
    "diffusion/test_vdm.py::test_the_ends_know_what_the_bound_gains_from_them",
    "diffusion/test_vdm.py::test_times_of_evaluation_are_the_examples_own_and_evenly_spaced_draws_agree",
    "diffusion/test_vdm.py::test_training_approaches_the_likelihood_of_the_data",
    "gan/test_game.py::test_a_picture_of_the_game_over_training",
    "gan/test_game.py::test_distance_in_the_units_of_the_game",
    "gan/test_game.py::test_duality_gap_of_a_clipped_line",
    "gan/test_game.py::test_duality_gap_of_one_dimensional_normals",
    "gan/test_game.py::test_no_gap_at_an_equilibrium[Relativistic()]",
    "gan/test_game.py::test_outputs_of_a_line",
    "gan/test_game.py::test_the_true_discriminator_is_at_distance_zero_and_one_moved_by_c_at_c",
    "gan/test_gan.py::test_ada_goes_by_the_side_of_the_balance_on_which_d_is[NonSaturating]",
    "gan/test_gan.py::test_critic_steps_divide_the_batch_and_clipped_weights_stay_in_their_box",
    "gan/test_gan.py::test_lazy_penalties_weigh_as_much_as_those_of_every_step",
    "gan/test_invert.py::test_noise_moves_the_path_and_every_step_is_watched",
    "gan/test_stylegan2.py::test_microbatches_keep_the_groups_of_the_whole_batch",
    "gan/test_stylegan2.py::test_modulated_convolution_is_the_per_example_kernel[1-False]",
    "gan/test_stylegan2.py::test_modulated_convolution_is_the_per_example_kernel[2-True]",
    "gan/test_stylegan2.py::test_the_discriminator_judges_one_by_one_unless_it_has_groups",
    "machine/test_hosts.py::test_one_asked_to_stop_stops_both_at_one_step_and_one_killed_ends_the_other",
    "machine/test_hosts.py::test_two_processes_give_the_numbers_of_one[Pmap()]",
    "machine/test_hosts.py::test_who_waits_in_vain_says_so_in_one_line",
    "metrics/test_features.py::test_batches_over_devices_give_the_same",
    "metrics/test_features.py::test_the_fit_is_stored_and_read_back",
    "metrics/test_inception.py::test_features_are_those_of_torch_fidelity",
    "metrics/test_inception.py::test_resize_is_that_of_tensorflow_1",
    "metrics/test_inception.py::test_structure",
    "metrics/test_intervals.py::test_frechet_interval_covers_the_known_distance_and_a_percentile_bootstrap_does_not",
    "metrics/test_kid.py::test_unbiased_at_any_number_of_samples[0.8]",
    "nets/test_denoisers.py::test_a_denoiser_starts_at_zero_and_its_last_layer_learns[dit]",
    "nets/test_denoisers.py::test_a_denoiser_starts_at_zero_and_its_last_layer_learns[learned]",
    "nets/test_denoisers.py::test_a_denoiser_starts_at_zero_and_its_last_layer_learns[unet]",
    "nets/test_denoisers.py::test_a_loop_over_layers_has_the_same_parameters_outputs_gradients_and_dropout",
    "nets/test_denoisers.py::test_after_a_disturbance_every_parameter_has_a_gradient[unet]",
    "nets/test_denoisers.py::test_each_clock_and_the_label_change_the_output_and_no_label_is_a_row_of_zeros[unet]",
    "nets/test_denoisers.py::test_forward_derivatives_are_finite_differences[unet]",
    "nets/test_denoisers.py::test_one_clock_may_come_without_an_axis",
    "nets/test_denoisers.py::test_remat_recomputes_and_changes_nothing[unet]",
    "nets/test_spectral.py::test_squares_are_as_many_power_iterations",
    "toys/test_toys.py::test_a_run_meets_its_truth[attributes]",
    "toys/test_toys.py::test_a_run_meets_its_truth[film]",
    "toys/test_toys.py::test_a_run_meets_its_truth[paired]",
    "toys/test_toys.py::test_a_run_meets_its_truth[table]",
    "toys/test_toys.py::test_layouts_agree[mesh-attributes]",
    "toys/test_toys.py::test_layouts_agree[mesh-film]",
    "toys/test_toys.py::test_layouts_agree[mesh-table]",
    "toys/test_toys.py::test_layouts_agree[pmap-attributes]",
    "toys/test_toys.py::test_layouts_agree[pmap-film]",
    "toys/test_toys.py::test_layouts_agree[pmap-table]",
    "toys/test_toys.py::test_resumes_to_the_bit_and_compiles_once[attributes]",
    "toys/test_toys.py::test_resumes_to_the_bit_and_compiles_once[film]",
    "toys/test_toys.py::test_resumes_to_the_bit_and_compiles_once[table]",
    "training/test_longer.py::test_a_longer_run_is_what_it_would_be_from_the_beginning[rate0",
    "training/test_longer.py::test_other_code_other_data_and_a_lost_checkpoint_are_nothing_to_go_on_from",
    "training/test_longer.py::test_what_depends_on_the_length_begins_anew_and_says_so[changes1",
    "training/test_run.py::test_a_run_moves_to_another_layout_in_its_directory[first1-then1]",
    "training/test_run.py::test_a_run_moves_to_another_layout_in_its_directory[first2-then2]",
    "training/test_run.py::test_a_run_moves_to_another_layout_in_its_directory[first3-then3]",
    "training/test_run.py::test_an_interrupted_run_goes_on_to_the_same_bits[act-75-11-12-changes2]",
    "training/test_run.py::test_an_interrupted_run_goes_on_to_the_same_bits[act-75-5-10-changes4]",
)


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items):
    """Marks the long cases; long subprocess tests last, so that a mistake in the mathematics shows first."""
    found = set()
    for item in items:
        named = [case for case in LONG if item.nodeid.startswith(f"tests/{case}")]
        found.update(named)
        if named:
            item.add_marker(pytest.mark.all)
    # `make test` looks for these in one folder alone: collecting the others again takes ten seconds
    apart = [item.nodeid for item in items if item.get_closest_marker("alone")]
    if strays := [name for name in apart if not name.startswith("tests/machine/")]:
        raise pytest.UsageError(f"{strays[0]} is marked alone: such tests are in tests/machine")
    # of a whole collection none may be left over: a test that was renamed would come back into `make test`
    whole = set(Path(__file__).parent.rglob("test_*.py")) <= {item.path for item in items}
    if whole and found != set(LONG):
        raise pytest.UsageError(f"tests/conftest.py: LONG names no test {set(LONG) - found}")
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
