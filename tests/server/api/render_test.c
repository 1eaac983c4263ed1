/* render — id lines, the byte order mark, blocks without their blank line, events in parts, and every
 * room from too small to ample. */
#include "server/api/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct block *block_of(uint64_t seq, uint32_t part)
{
    struct block *block;
    assert_int_equal(block_new(seq, part, 0, BLOCK_BYTES_MAX, &block), ERR_OK);
    return block;
}

static void add(struct block *block, const char *text, uint32_t flags)
{
    assert_int_equal(block_append(block, slice_text(text), 1, flags), ERR_OK);
}

static void expect(struct block *block, uint32_t from, size_t room, uint32_t end, const char *text)
{
    struct reader_view view = {.block = block, .index = from, .end = block->frame_count};
    struct rendering rendering;
    assert_int_equal(render_sse(&view, room, &rendering), ERR_OK);
    assert_int_equal(rendering.end, end);
    assert_int_equal(rendering.size, strlen(text));
    assert_memory_equal(rendering.bytes, text, rendering.size);
    free(rendering.bytes);
}

static void test_ids_and_ends(void **state)
{
    (void)state;
    struct block *block = block_of(0, 0);
    add(block,
        "\xef\xbb\xbf"
        "data: a\n\n",
        0);
    add(block, "\xef\xbb\xbf", 0); /* not at the beginning: it is a byte of the stream's */
    add(block, "data: [DONE]", 0);
    add(block, "data: b\r\r", 0);
    add(block, "", 0);
    expect(block, 0, 1000, 5,
        "id: 1\ndata: a\n\nid: 2\n\xef\xbb\xbf\n\nid: 3\ndata: [DONE]\n\nid: 4\ndata: b\r\rid: "
        "5\n");
    expect(block, 3, 1000, 5, "id: 4\ndata: b\r\rid: 5\n");
    block_unref(block);
    block = block_of(UINT64_MAX - 1, 0);
    add(block, "data: a\n\n", 0);
    expect(block, 0, 41, 1, "id: 18446744073709551615\ndata: a\n\n");
    block_unref(block);
}

static void test_parts(void **state)
{
    (void)state;
    struct block *block = block_of(6, 0);
    add(block, "data: 6\n\n", 0);
    add(block, "data: be", FRAME_MORE);
    expect(block, 0, 1000, 2, "id: 7\ndata: 6\n\nid: 8\ndata: be");
    block_unref(block);
    block = block_of(7, 1);
    add(block, "", FRAME_MORE);
    expect(block, 0, 1000, 1, "");
    block_unref(block);
    block = block_of(7, 2);
    add(block, "gun", 0);
    add(block, "data: 8\n\n", 0);
    expect(block, 0, 1000, 2, "gun\n\nid: 9\ndata: 8\n\n");
    block_unref(block);
    block = block_of(0, 1); /* no part but the first may lose a mark */
    add(block, "\xef\xbb\xbf\n\n", 0);
    expect(block, 0, 1000, 1, "\xef\xbb\xbf\n\n");
    block_unref(block);
}

static void test_rooms(void **state)
{
    (void)state;
    enum { FRAMES = 40, FRAME_BYTES = 9 };
    struct block *block = block_of(100, 0);
    for (int i = 0; i < FRAMES; i++)
        add(block, "data: x\n\n", 0);
    for (size_t room = 0; room < (FRAMES + 2) * (FRAME_BYTES + RENDER_FRAME_BYTES_MAX); room++) {
        struct reader_view view = {.block = block, .end = FRAMES - 1};
        struct rendering rendering;
        size_t fitting = room / (FRAME_BYTES + RENDER_FRAME_BYTES_MAX);
        enum err err = render_sse(&view, room, &rendering);
        assert_int_equal(err, fitting ? ERR_OK : ERR_LIMIT);
        if (err)
            continue;
        assert_int_equal(rendering.end, fitting < FRAMES - 1 ? fitting : FRAMES - 1);
        assert_true(rendering.size <= room);
        free(rendering.bytes);
    }
    block_unref(block);
    block = block_of(0, 0);
    static char large[FRAME_BYTES_MAX + 1];
    memset(large, 'x', FRAME_BYTES_MAX);
    for (int i = 0; i < 4; i++)
        add(block, large, 0);
    struct reader_view view = {.block = block, .end = 4};
    struct rendering rendering;
    assert_int_equal(render_sse(&view, SIZE_MAX, &rendering), ERR_OK);
    assert_int_equal(rendering.end, 4);
    assert_true(rendering.size <= RENDER_BYTES_MAX);
    free(rendering.bytes);
    block_unref(block);
}

/* Frame for frame the same as what readers get piece by piece. */
static void test_whole_blocks(void **state)
{
    (void)state;
    struct block *blocks[] = {block_of(0, 0), block_of(40, 3)}, *rendered;
    for (size_t i = 0; i < 2; i++) {
        add(blocks[i],
            "\xef\xbb\xbf"
            "data: a\n\n",
            0);
        add(blocks[i], "data: b", 0);
        add(blocks[i], "", 0);
        add(blocks[i], "data: c\n\n", FRAME_MORE);
        assert_int_equal(render_sse_block(blocks[i], &rendered), ERR_OK);
        assert_int_equal(rendered->frame_count, 4);
        assert_int_equal(rendered->first_seq, blocks[i]->first_seq);
        assert_int_equal(rendered->part, blocks[i]->part);
        for (uint32_t at = 0; at < 4; at++) {
            struct reader_view view = {.block = blocks[i], .index = at, .end = at + 1};
            struct rendering one;
            assert_int_equal(render_sse(&view, 1000, &one), ERR_OK);
            assert_true(slice_equal(block_frame(rendered, at), slice_of(one.bytes, one.size)));
            assert_int_equal(rendered->frames[at].flags, blocks[i]->frames[at].flags);
            free(one.bytes);
        }
        block_unref(rendered);
        block_unref(blocks[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_and_ends),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_whole_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
