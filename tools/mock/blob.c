/* blob — see the header. */
#include "tools/mock/blob.h"

#include <inttypes.h>
#include <string.h>

static const char *const places[] = {"/v1/files", "/v1/uploads", "/v1/audio/transcriptions",
    "/v1/audio/translations", "/v1/images/edits", "/v1/images/variations", "/v1/videos"};

bool blob_is_place(const char *method, struct slice path)
{
    if (strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0)
        return false;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct slice place = slice_text(places[i]);
        struct slice rest = slice_sub(path, place.size, path.size);
        if (slice_has_prefix(path, place) && (rest.size == 0 || rest.data[0] == '/'))
            return true;
    }
    return false;
}

enum err blob_read(const char *method, struct slice path, uint64_t *bytes)
{
    static const struct slice before = SLICE("/v1/files/bytes-"), after = SLICE("/content");
    if (strcmp(method, "GET") != 0 || !slice_has_prefix(path, before))
        return ERR_NOTFOUND;
    struct slice number = slice_sub(path, before.size, path.size);
    if (number.size < after.size ||
        !slice_equal(slice_sub(number, number.size - after.size, after.size), after))
        return ERR_NOTFOUND;
    return slice_u64(slice_sub(number, 0, number.size - after.size), bytes) ? ERR_NOTFOUND : ERR_OK;
}

enum err blob_make(uint64_t at, uint64_t size, struct buf *out)
{
    uint8_t *room;
    TRY(buf_reserve(out, (size_t)size, &room));
    uint64_t j = at % BLOB_PERIOD;
    for (uint64_t i = 0; i < size; i++) {
        room[i] = (uint8_t)(31 * j + j / 251);
        j = j + 1 == BLOB_PERIOD ? 0 : j + 1;
    }
    buf_commit(out, (size_t)size);
    return ERR_OK;
}

enum err blob_render(uint64_t bytes, const char *sha256, struct buf *out)
{
    return buf_printf(out,
        "{\"id\":\"file-%.12s\",\"object\":\"file\",\"created_at\":1,\"created\":1,"
        "\"filename\":\"upload\",\"purpose\":\"user_data\",\"status\":\"processed\","
        "\"bytes\":%" PRIu64 ",\"sha256\":\"%s\",\"text\":\"%" PRIu64 " bytes, %s\",\"data\":[]}",
        sha256, bytes, sha256, bytes, sha256);
}
