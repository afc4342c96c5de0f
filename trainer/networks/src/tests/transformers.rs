//! Transformers compared with known facts about them: parameter counts, names, shapes, multiply-adds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{known, parameter_count};
use crate::catalogue::spelled;
use crate::{Error, Input, LastLayerForm, Shape, transformers};

#[test]
fn parameter_counts_are_the_published_ones() {
    let pooler = |width: usize| width * width + width;
    for (name, count) in [
        ("vit_b_16", 86_567_656),
        ("vit_b_32", 88_224_232),
        ("vit_l_16", 304_326_632),
        ("deit_tiny_patch16_224", 5_717_416),
        ("deit_small_patch16_224", 22_050_664),
        ("deit_base_patch16_224", 86_567_656),
        // Without the token for masked patches, which is used in pretraining only.
        ("dinov2_vits14", 22_056_576 - 384),
        ("dinov2_vitb14", 86_580_480 - 768),
        ("dinov2_vitl14", 304_368_640 - 1024),
        // Without the layer that pretraining has after the first token.
        ("minilm_l6", 22_713_216 - pooler(384)),
        ("minilm_l12", 33_360_000 - pooler(384)),
        ("bert_base_uncased", 109_482_240 - pooler(768)),
        ("distilbert_base_uncased", 66_362_880),
        ("roberta_base", 124_645_632 - pooler(768)),
    ] {
        assert_eq!(parameter_count(&known(name)), count, "{name}");
    }
}

#[test]
fn multiply_adds_are_the_published_ones() {
    // torchvision's own, which count the attention's products, too.
    for (name, giga) in [("vit_b_16", 17.56), ("vit_b_32", 4.41), ("vit_l_16", 61.55)] {
        let found = known(name).multiply_adds(224, 224).unwrap() as f64 / 1e9;
        assert!((found - giga).abs() < 0.015, "{name}: {found} against {giga}");
    }
    let minilm = known("minilm_l6").token_multiply_adds(128).unwrap();
    assert_eq!(minilm, 6 * (128 * 12 * 384 * 384 + 2 * 128 * 128 * 384));
}

#[test]
fn every_transformer_has_its_points() {
    let tokens = |count, width| Shape::Tokens { count, width };
    for (name, point, expected) in [
        ("vit_b_16", "embeddings", tokens(197, 768)),
        ("vit_b_32", "block12", tokens(50, 768)),
        ("vit_l_16", "class", Shape::Vector { n: 1024 }),
        ("vit_b_16", "logits", Shape::Vector { n: 1000 }),
        ("deit_tiny_patch16_224", "block3", tokens(197, 192)),
        ("dinov2_vits14", "norm", tokens(257, 384)),
        ("dinov2_vitl14", "class", Shape::Vector { n: 1024 }),
    ] {
        let cut = known(name).up_to(point).unwrap();
        assert_eq!(cut.shapes(224, 224).unwrap().last(), Some(&expected), "{name} up to {point}");
    }
    for (name, point, expected) in [
        ("minilm_l6", "mean", Shape::Vector { n: 384 }),
        ("minilm_l12", "block12", tokens(7, 384)),
        ("bert_base_uncased", "class", Shape::Vector { n: 768 }),
        ("distilbert_base_uncased", "embeddings", tokens(7, 768)),
        ("roberta_base", "block2", tokens(7, 768)),
    ] {
        let cut = known(name).up_to(point).unwrap();
        assert_eq!(cut.token_shapes(7).unwrap().last(), Some(&expected), "{name} up to {point}");
    }
    for name in transformers() {
        let whole = known(name);
        assert_eq!(whole.name, *name);
        assert!(whole.point(whole.default_cut).is_ok(), "{name}");
        assert_eq!(whole.last_layer().is_ok(), whole.point("logits").is_ok(), "{name}");
        for point in &whole.points {
            let cut = whole.up_to(&point.name).unwrap();
            assert_eq!(cut.point(&point.name), Ok(cut.output()), "{name}");
            let mut read = vec![false; cut.nodes.len()];
            cut.nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| read[input] = true);
            assert!(read[..cut.output()].iter().all(|&read| read), "{name} {}: a layer is idle", point.name);
        }
    }
}

#[test]
fn the_new_head_replaces_the_last_layer() {
    for (name, module, inputs) in [("vit_b_16", "heads.head", 768), ("deit_small_patch16_224", "head", 384)] {
        let last = known(name).last_layer().unwrap();
        assert_eq!((last.name.as_str(), last.inputs, last.classes), (module, inputs, 1000));
        assert_eq!(last.form, LastLayerForm::Linear);
    }
}

#[test]
fn names_are_their_publishers() {
    let has = |name: &str, parameter: &str, shape: &[usize]| {
        let all = known(name).parameters();
        let found = all.iter().find(|found| found.name == parameter);
        assert_eq!(found.map(|found| found.shape.as_slice()), Some(shape), "{name} {parameter}");
    };
    has("vit_b_16", "class_token", &[1, 1, 768]);
    has("vit_b_16", "encoder.pos_embedding", &[1, 197, 768]);
    has("vit_b_16", "encoder.layers.encoder_layer_11.self_attention.in_proj_weight", &[2304, 768]);
    has("vit_b_16", "encoder.layers.encoder_layer_0.mlp.3.bias", &[768]);
    has("deit_tiny_patch16_224", "blocks.11.attn.qkv.bias", &[576]);
    has("dinov2_vits14", "embeddings.position_embeddings", &[1, 1370, 384]);
    has("dinov2_vits14", "encoder.layer.3.layer_scale2.lambda1", &[384]);
    has("minilm_l6", "encoder.layer.5.attention.output.LayerNorm.weight", &[384]);
    has("minilm_l6", "embeddings.token_type_embeddings.weight", &[2, 384]);
    has("distilbert_base_uncased", "transformer.layer.0.attention.q_lin.weight", &[768, 768]);
    has("roberta_base", "embeddings.position_embeddings.weight", &[514, 768]);
    for name in transformers() {
        let mut all: Vec<String> = known(name).parameters().into_iter().map(|one| one.name).collect();
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before, "{name}: a name twice");
    }
}

/// Numbers that identify a parameter, a row of it and a column.
fn numbered(name: &str, shape: &[usize]) -> Vec<f32> {
    let key = name.bytes().fold(7u32, |key, byte| key.wrapping_mul(31).wrapping_add(byte.into()) % 65_521);
    (0..shape.iter().product::<usize>() as u32).map(|at| ((key + at) % 65_536) as f32).collect()
}

/// A file with the parameters of `own` under the names of `other`, packed or split as that has them.
fn filed(own: &crate::Network, other: &crate::Network) -> BTreeMap<String, Vec<f32>> {
    let (mut all, mut file) = (Vec::new(), BTreeMap::new());
    own.parameters().iter().for_each(|one| all.push((one.name.clone(), numbered(&one.name, &one.shape))));
    // Queries, keys and values follow each other, weights and biases separately: in both networks' order of
    // roles.
    let order = |network: &crate::Network| {
        let mut names: Vec<String> = network.parameters().into_iter().map(|one| one.name).collect();
        let role = |name: &String| -> u32 { u32::from(name.ends_with("bias")) };
        let attention = |name: &String| {
            ["query", "key.", "value", "qkv", "in_proj"].iter().any(|part| name.contains(part))
        };
        for at in 0..names.len() {
            let end = (at..names.len()).find(|&end| !attention(&names[end])).unwrap_or(names.len());
            if at == 0 || !attention(&names[at - 1]) {
                names[at..end].sort_by_key(role);
            }
        }
        names
    };
    let values: BTreeMap<String, Vec<f32>> = all.into_iter().collect();
    let mut flat = order(own).into_iter().flat_map(|name| values[&name].clone());
    let shapes: BTreeMap<String, Vec<usize>> =
        other.parameters().into_iter().map(|one| (one.name, one.shape)).collect();
    for name in order(other) {
        let count = shapes[&name].iter().product();
        file.insert(name, flat.by_ref().take(count).collect());
    }
    file
}

#[test]
fn other_publishers_names_lead_to_the_same_parameters() {
    for name in ["deit_tiny_patch16_224", "dinov2_vits14"] {
        let own = known(name);
        for other in spelled(name) {
            for prefix in ["", "vit."] {
                let file = filed(&own, &other);
                let file: BTreeMap<String, Vec<f32>> =
                    file.into_iter().map(|(name, values)| (format!("{prefix}{name}"), values)).collect();
                let spelling = own.spelling(|name| file.contains_key(name));
                for parameter in own.parameters() {
                    let tensor = |name: &str, shape: &[usize]| {
                        let values = file.get(name).ok_or(name.to_owned())?;
                        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
                        Ok::<_, String>(Cow::Borrowed(&values[..]))
                    };
                    let found = spelling.read(&parameter.name, &parameter.shape, tensor).unwrap();
                    assert!(
                        found == numbered(&parameter.name, &parameter.shape),
                        "{name} {}",
                        parameter.name
                    );
                }
            }
        }
    }
}

#[test]
fn old_names_of_norms_and_a_last_layer_beside_the_prefix_are_found() {
    let bert = known("bert_base_uncased");
    let old = bert.spelling(|name| {
        name.starts_with("bert.") && !name.contains("LayerNorm.w") && !name.ends_with("Norm.bias")
    });
    let held = |name: &str| old.held(name).unwrap().names().to_vec();
    assert_eq!(held("embeddings.LayerNorm.weight"), ["bert.embeddings.LayerNorm.gamma"]);
    assert_eq!(held("encoder.layer.2.output.dense.bias"), ["bert.encoder.layer.2.output.dense.bias"]);
    let deit = known("deit_tiny_patch16_224");
    let other = spelled(deit.name).swap_remove(3);
    let encoder =
        |name: &str| other.parameters().iter().any(|one| one.name == name && !name.starts_with("class"));
    let face = deit.spelling(|name| match name.strip_prefix("vit.") {
        Some(name) => encoder(name),
        None => name.starts_with("classifier."),
    });
    assert_eq!(face.held("head.weight").unwrap().names(), ["classifier.weight"]);
    let queries = "vit.encoder.layer.0.attention.attention.query.weight";
    assert_eq!(face.held("blocks.0.attn.qkv.weight").unwrap().names()[0], queries);
    let nothing = bert.spelling(|_| false);
    assert_eq!(nothing.held("embeddings.LayerNorm.bias").unwrap().names(), ["embeddings.LayerNorm.bias"]);
}

#[test]
fn what_cannot_be_read_is_said() {
    let minilm = known("minilm_l6");
    assert_eq!(minilm.input(), Input::Tokens { vocabulary: 30522, most: 512 });
    assert!(minilm.token_shapes(512).is_ok() && known("roberta_base").token_shapes(512).is_ok());
    for (error, words) in [
        (minilm.token_shapes(513), ["1 to 512", "513"]),
        (minilm.token_shapes(0), ["minilm_l6", "found one of 0"]),
        (minilm.shapes(224, 224), ["reads sentences", "found images"]),
        (known("vit_b_16").token_shapes(5), ["reads images", "found sentences"]),
        (known("vit_b_16").shapes(0, 5), ["0 by 5", "rows and columns"]),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let small = known("vit_b_16").shapes(15, 40).unwrap_err();
    assert!(matches!(small, Error::ImageTooSmall { needed: 16, .. }), "{small}");
}
