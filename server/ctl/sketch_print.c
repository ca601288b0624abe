/* SPDX-License-Identifier: BSD-3-Clause */
/* sketch.h's second half: the boxes on paper. */
#include "server/ctl/sketch_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- text -------------------------------------------------------------------------------- */

struct canvas {
    char *cells; /* [height][width + 1], a newline behind each row */
    uint32_t width, height;
};

static char *cell(const struct canvas *canvas, uint32_t x, uint32_t y)
{
    return canvas->cells + (size_t)y * (canvas->width + 1) + x;
}

static void draw_frame(const struct canvas *canvas, const struct sketch_box *box)
{
    uint32_t right = box->x + box->width - 1, bottom = box->y + box->height - 1;
    for (uint32_t x = box->x; x <= right; x++)
        *cell(canvas, x, box->y) = *cell(canvas, x, bottom) = '-';
    for (uint32_t y = box->y; y <= bottom; y++)
        *cell(canvas, box->x, y) = *cell(canvas, right, y) = '|';
    *cell(canvas, box->x, box->y) = *cell(canvas, right, box->y) = '+';
    *cell(canvas, box->x, bottom) = *cell(canvas, right, bottom) = '+';
    *cell(canvas, box->x + 1, box->y) = ' ';
    memcpy(cell(canvas, box->x + 2, box->y), box->title, strlen(box->title));
    *cell(canvas, box->x + 2 + (uint32_t)strlen(box->title), box->y) = ' ';
}

/* A row without the blanks at its end. */
static void print_row(const struct canvas *canvas, uint32_t y, FILE *stream)
{
    const char *row = cell(canvas, 0, y);
    size_t length = canvas->width;
    while (length > 0 && row[length - 1] == ' ')
        length--;
    fprintf(stream, "%.*s\n", (int)length, row);
}

int sketch_print(const struct sketch *sketch, FILE *stream)
{
    struct canvas canvas = {.width = sketch->width, .height = sketch->height};
    size_t bytes = (size_t)(canvas.width + 1) * canvas.height;
    canvas.cells = malloc(bytes);
    if (!canvas.cells)
        return -ENOMEM;
    memset(canvas.cells, ' ', bytes);
    for (size_t i = 0; i < sketch->count; i++) {
        const struct sketch_box *box = &sketch->boxes[i];
        if (sketch_is_framed(box))
            draw_frame(&canvas, box);
        else
            memcpy(cell(&canvas, box->x, box->y), box->title, strlen(box->title));
    }
    for (uint32_t y = 0; y < canvas.height; y++)
        print_row(&canvas, y, stream);
    free(canvas.cells);
    fprintf(stream, "* isolated   x may not be used here%s%s\n",
            sketch->offline[0] ? "   offline: " : "", sketch->offline);
    return ferror(stream) ? -EIO : 0;
}

/* ---- SVG --------------------------------------------------------------------------------- */

#define CELL_WIDTH   8u /* pixels; 12 px monospace is 7.2 wide */
#define CELL_HEIGHT  20u
#define MARGIN       16u
#define HEAD_HEIGHT  64u /* title and legend */
#define LEGEND_WIDTH 920u

static const struct paint {
    const char *name; /* in the legend; NULL: not there */
    const char *fill;
} paints[] = {
    [SKETCH_BOX_PACKAGE] = {NULL, "#f3f1ec"},
    [SKETCH_BOX_CACHE] = {NULL, "#fbfaf7"},
    [SKETCH_BOX_CORE] = {NULL, "#ffffff"},
    [SKETCH_CPU_FREE] = {"free", "#f4f4f4"},
    [SKETCH_CPU_FORBIDDEN] = {"may not be used", "#cfcfcf"},
    [SKETCH_CPU_VCPU] = {"vCPU", "#bfe3c0"},
    [SKETCH_CPU_HOUSEKEEPING] = {"housekeeping", "#f7dd9c"},
    [SKETCH_CPU_POLLER] = {"poller", "#a9cdf5"},
    [SKETCH_CPU_CROWDED] = {"shared with a poller or vCPU", "#f5b3a6"},
};
#define PAINT_COUNT (sizeof(paints) / sizeof(paints[0]))

static void print_escaped(const char *text, FILE *stream)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", stream);
            break;
        case '<':
            fputs("&lt;", stream);
            break;
        case '>':
            fputs("&gt;", stream);
            break;
        default:
            /* control characters cannot stand in XML at all, nor can half a character of UTF-8 */
            fputc(*text < ' ' || *text > '~' ? '?' : *text, stream);
        }
    }
}

static void print_text(uint32_t x, uint32_t y, const char *style, const char *text, FILE *stream)
{
    fprintf(stream, "<text x=\"%u\" y=\"%u\"%s>", x, y, style);
    print_escaped(text, stream);
    fputs("</text>\n", stream);
}

static void print_box(const struct sketch_box *box, FILE *stream)
{
    bool is_framed = sketch_is_framed(box);
    /* Frames leave a gap to their neighbours above and below; a CPU's line fills its row but for one. */
    uint32_t x = MARGIN + box->x * CELL_WIDTH, y = HEAD_HEIGHT + box->y * CELL_HEIGHT;
    uint32_t inset = is_framed ? 2 : 1;
    uint32_t cut = is_framed ? CELL_HEIGHT / 2 : 2; /* the frame's last row is half empty */
    fprintf(stream,
            "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"3\" fill=\"%s\" "
            "stroke=\"%s\" stroke-width=\"%u\"/>\n",
            x - (is_framed ? 0 : 4), y + inset, box->width * CELL_WIDTH + (is_framed ? 0 : 8),
            box->height * CELL_HEIGHT - cut, paints[box->style].fill,
            box->is_isolated ? "#7a2f8f" : "#8a8a8a", box->is_isolated ? 2 : 1);
    print_text(x + (is_framed ? CELL_WIDTH : 0), y + 15,
               box->style == SKETCH_BOX_PACKAGE ? " font-weight=\"bold\"" : "", box->title, stream);
}

/* Returns how wide it became. */
static uint32_t print_legend(FILE *stream)
{
    uint32_t x = MARGIN;
    for (size_t i = SKETCH_CPU_FREE; i < PAINT_COUNT; i++) {
        fprintf(stream,
                "<rect x=\"%u\" y=\"36\" width=\"14\" height=\"14\" rx=\"3\" fill=\"%s\" "
                "stroke=\"#8a8a8a\"/>\n",
                x, paints[i].fill);
        print_text(x + 20, 48, "", paints[i].name, stream);
        x += 20 + (uint32_t)(strlen(paints[i].name) + 2) * CELL_WIDTH;
    }
    fprintf(stream,
            "<rect x=\"%u\" y=\"36\" width=\"14\" height=\"14\" rx=\"3\" fill=\"#f4f4f4\" "
            "stroke=\"#7a2f8f\" stroke-width=\"2\"/>\n",
            x);
    print_text(x + 20, 48, "", "isolated (*)", stream);
    return x + 20 + 12 * CELL_WIDTH + MARGIN;
}

static uint32_t larger(uint32_t one, uint32_t other)
{
    return one > other ? one : other;
}

int sketch_print_svg(const struct sketch *sketch, const char *title, FILE *stream)
{
    uint32_t width = 2 * MARGIN + sketch->width * CELL_WIDTH;
    width = larger(larger(width, LEGEND_WIDTH), 2 * MARGIN + (uint32_t)strlen(title) * 9);
    uint32_t offline_y = HEAD_HEIGHT + sketch->height * CELL_HEIGHT + 8;
    uint32_t height = offline_y + MARGIN;
    fprintf(stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "viewBox=\"0 0 %u %u\" font-family=\"monospace\" font-size=\"12\" fill=\"#1a1a1a\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            width, height, width, height);
    print_text(MARGIN, 24, " font-size=\"14\" font-weight=\"bold\"", title, stream);
    uint32_t legend_width = print_legend(stream);
    assert(legend_width <= LEGEND_WIDTH);
    for (size_t i = 0; i < sketch->count; i++)
        print_box(&sketch->boxes[i], stream);
    if (sketch->offline[0]) {
        char text[PLACEMENT_LIST_BYTES + 16];
        snprintf(text, sizeof(text), "offline: %s", sketch->offline);
        print_text(MARGIN, offline_y, "", text, stream);
    }
    fputs("</svg>\n", stream);
    return ferror(stream) ? -EIO : 0;
}
