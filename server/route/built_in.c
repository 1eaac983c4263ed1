/* built_in — the catalogue that is a part of the program: CMake makes the array of catalogue.json
 * (embed.cmake). */
#include "server/route/catalogue_file.h"

extern const unsigned char catalogue_json[];
extern const size_t catalogue_json_size;

struct slice catalogue_built_in(void)
{
    return slice_of(catalogue_json, catalogue_json_size);
}
