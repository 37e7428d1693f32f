"""segment-anything's `Sam` at the sizes of a config, and the way of its masks back to the image."""

from functools import partial

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from MediRoundLib.config import SamConfig

# ImageNet's mean and standard deviation on the 0..255 scale, as SAM and MedSAM were trained with.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def build_sam(config: SamConfig) -> Sam:
    """Build segment-anything's `Sam` with the sizes of `config` and fresh weights."""
    grid = config.image_size // config.patch_size
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            out_chans=config.prompt_dim,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=config.window,
            global_attn_indexes=config.global_blocks,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=config.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=config.mask_channels,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=config.multimask_outputs,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.prompt_dim,
                mlp_dim=config.decoder_mlp,
                num_heads=config.decoder_heads,
            ),
            transformer_dim=config.prompt_dim,
            iou_head_depth=config.iou_head_depth,
            iou_head_hidden_dim=config.iou_head_width,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )


def upscale_masks(sam: Sam, low_res: Tensor, resized: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """Bring decoder logits to image size by SAM's two bilinear steps, padding cut off in between.

    Args:
        sam: the model, for its input size.
        low_res: (N, 1, h, w) logits.
        resized: (height, width) of the image inside SAM's square input.
        original: (height, width) of the image itself.

    Returns:
        (N, height, width) float32 logits; a mask is where they exceed 0.
    """
    masks: Tensor = sam.postprocess_masks(low_res.float(), input_size=resized, original_size=original)
    return masks[:, 0]
