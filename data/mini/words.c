#include "data/mini/words.h"

const char words_common[] =
    "apple river stone cloud music garden window bottle forest silver market pencil castle winter summer "
    "doctor "
    "kitchen mirror button jacket pepper camera desert engine finger guitar island ocean palace rocket "
    "temple "
    "valley bridge coffee flower ghost honey knife lamp moon nest onion paper queen rain ship tree cup dog "
    "cat "
    "hat pen sun map key box ant bee book door chair table horse house light night water bread phone clock "
    "train "
    "beach field glass heart hill lake leaf milk road room rose salt sand seed shoe snow song star street "
    "sugar "
    "tower wall wind wood school letter farm fire fish gold grass hand king rope sword wheel bell bird boat "
    "bone "
    "coat corn crown dream drum earth face flag floor fruit gate gift iron jewel judge lion mouse park plate "
    "pocket pond prince radio ring roof sail scarf shell shop sky smoke soap sock soup spoon stairs storm "
    "story "
    "tent toy truck village wave wing";
const char words_names[] = "Anna Tom Maria Peter Lucy John Emma David Sara Paul Nina Mark Alice Bob Carol "
                           "Daniel Eva Frank Grace Henry "
                           "Jack Kate Laura Mike Oliver Rachel Sam Susan Victor Alex Ben Clara Diana Eric "
                           "George Helen Ivan Julia Kevin "
                           "Linda Martin Nora Oscar Robert Simon Tina Adam Ella Fred Jane Leo Max Ruth Steve "
                           "Chris Amy Jim Lisa Ryan "
                           "Sophie";
const char words_animals[] = "dog cat horse cow lion tiger eagle shark whale rabbit mouse elephant snake "
                             "frog goat wolf bear monkey zebra "
                             "pig sheep deer fox camel giraffe kangaroo panda leopard donkey hamster "
                             "squirrel rat lizard turtle crocodile "
                             "dolphin octopus salmon ant spider butterfly mosquito pigeon owl parrot penguin "
                             "ostrich hen goose swan gorilla "
                             "hippo rhino otter beaver buffalo";
const char words_plants[] = "rose oak tulip pine grass daisy maple fern cactus moss willow ivy lily orchid "
                            "birch cedar bamboo sunflower "
                            "poplar spruce fir elm lavender violet daffodil jasmine hemp clover thistle "
                            "nettle reed magnolia palm ash "
                            "beech hazel holly juniper lilac marigold peony poppy seaweed shrub bush";
const char words_foods[] = "bread cheese soup pizza rice pasta butter salad cake sandwich yogurt chocolate "
                           "honey steak cookie omelette "
                           "bacon sausage burger noodles pancake waffle pie muffin toast cereal ham jam "
                           "sushi stew curry taco burrito "
                           "lasagna meatball pudding candy popcorn fries dumpling doughnut biscuit cream "
                           "sauce ketchup mustard gravy "
                           "bagel brownie chili";
const char words_vehicles[] =
    "car bus train bicycle truck airplane helicopter boat ship motorcycle tram taxi submarine scooter van "
    "ferry "
    "tractor ambulance limousine yacht canoe kayak sled wagon carriage jeep jet rocket moped minibus trolley "
    "tank tanker lorry bulldozer glider raft sailboat spaceship subway trailer cab rickshaw";
const char words_tools[] =
    "hammer saw drill wrench screwdriver pliers shovel axe rake chisel ladder hoe spade crowbar mallet "
    "sander "
    "scissors tweezers clamp anvil hatchet trowel pickaxe stapler jigsaw chainsaw toolbox vise spanner lever "
    "pulley "
    "ruler toothbrush broom mop paintbrush grinder corkscrew pitchfork sickle scythe scraper";
const char words_clothes[] =
    "shirt jacket hat sock shoe glove scarf dress skirt coat belt sweater pants jeans shorts blouse hoodie "
    "cap "
    "boots sandals suit vest tie pajamas robe gown cloak raincoat cardigan tights leggings sneakers slippers "
    "mittens apron bikini swimsuit uniform overalls tuxedo bra underwear beanie kimono poncho";
const char words_body[] = "arm leg nose eye ear hand foot knee elbow finger shoulder mouth head neck chin "
                          "cheek forehead tongue tooth "
                          "lip throat chest stomach back hip thigh ankle toe heel wrist thumb palm skin bone "
                          "brain heart lung liver "
                          "kidney muscle spine rib skull jaw hair";
const char words_fruits[] =
    "apple banana orange grape peach pear cherry mango lemon plum melon kiwi strawberry raspberry blueberry "
    "blackberry pineapple coconut papaya apricot fig lime grapefruit watermelon pomegranate tangerine "
    "nectarine "
    "cranberry guava lychee cantaloupe currant gooseberry mandarin clementine mulberry avocado olive raisin";
const char words_jobs[] = "doctor teacher nurse farmer lawyer engineer pilot chef baker butcher carpenter "
                          "plumber electrician dentist "
                          "journalist writer painter actor singer dancer soldier sailor fisherman "
                          "firefighter policeman judge architect "
                          "scientist accountant secretary waiter barber tailor mechanic librarian gardener "
                          "photographer cashier janitor "
                          "surgeon pharmacist programmer professor banker cleaner miner detective translator";
const char words_sports[] =
    "football tennis basketball baseball hockey golf rugby swimming boxing wrestling volleyball cricket "
    "cycling "
    "skiing skating surfing rowing sailing fencing judo karate archery badminton bowling climbing diving "
    "gymnastics handball jogging polo sprinting snowboarding softball squash sumo triathlon weightlifting "
    "windsurfing marathon lacrosse";
const char words_instruments[] =
    "guitar piano violin drum flute trumpet cello harp saxophone clarinet trombone banjo accordion organ "
    "tuba "
    "oboe bassoon viola ukulele mandolin harmonica xylophone tambourine bagpipes keyboard synthesizer "
    "cymbals "
    "lute piccolo recorder sitar triangle fiddle lyre bugle maracas gong harpsichord bongo marimba";
const char words_buildings[] =
    "house school hospital church castle palace temple tower hotel museum library factory office garage barn "
    "stadium theater prison bank mosque cathedral cottage hut cabin skyscraper warehouse supermarket airport "
    "lighthouse windmill restaurant cinema university monastery apartment mansion villa fortress shed kiosk";
const char words_furniture[] =
    "chair table sofa bed desk shelf lamp stool bench couch wardrobe cupboard cabinet bookcase armchair "
    "dresser "
    "mattress drawer crib nightstand sideboard recliner footstool hammock bookshelf rug carpet curtain "
    "mirror "
    "pillow cushion hanger chandelier bunk futon ottoman loveseat headboard lampshade highchair";
const char words_drinks[] = "water milk tea coffee juice wine beer cider soda cola lemonade cocoa whiskey "
                            "vodka rum gin brandy champagne "
                            "smoothie espresso latte cappuccino tequila sake mead cocktail milkshake liqueur "
                            "ale lager sherry bourbon "
                            "scotch martini eggnog kombucha margarita absinthe prosecco mocha";
const char words_feelings[] =
    "joy anger fear sadness love hate happiness jealousy envy pride shame guilt surprise disgust boredom "
    "excitement anxiety grief hope despair loneliness gratitude relief rage sorrow delight worry "
    "embarrassment "
    "confusion regret sympathy pity nervousness panic terror affection frustration contempt passion misery";
const char words_colors[] = "red blue green yellow white black brown pink purple gray silver gold orange "
                            "violet beige turquoise crimson "
                            "scarlet indigo magenta";
const char words_cities[] =
    "Paris London Rome Berlin Madrid Tokyo Moscow Cairo Vienna Athens Dublin Oslo Boston Chicago Miami "
    "Dallas "
    "Denver Seattle Toronto Sydney Delhi Mumbai Beijing Shanghai Seoul Bangkok Istanbul Lisbon Prague Warsaw "
    "Budapest Stockholm Helsinki Amsterdam Brussels Munich Milan Venice Barcelona Manchester Liverpool "
    "Glasgow "
    "Houston Atlanta Detroit Phoenix Montreal Vancouver Melbourne Nairobi Lagos Baghdad";
const char words_days[] = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday";

const char words_countries[] =
    "France:Paris:Europe:French Germany:Berlin:Europe:German Italy:Rome:Europe:Italian "
    "Spain:Madrid:Europe:Spanish Portugal:Lisbon:Europe:Portuguese Greece:Athens:Europe:Greek "
    "England:London:Europe:English Ireland:Dublin:Europe:Irish Scotland:Edinburgh:Europe:Scottish "
    "Norway:Oslo:Europe:Norwegian Sweden:Stockholm:Europe:Swedish Denmark:Copenhagen:Europe:Danish "
    "Finland:Helsinki:Europe:Finnish Iceland:Reykjavik:Europe:Icelandic Poland:Warsaw:Europe:Polish "
    "Austria:Vienna:Europe:Austrian Hungary:Budapest:Europe:Hungarian Belgium:Brussels:Europe:Belgian "
    "Netherlands:Amsterdam:Europe:Dutch Switzerland:Bern:Europe:Swiss Romania:Bucharest:Europe:Romanian "
    "Bulgaria:Sofia:Europe:Bulgarian Serbia:Belgrade:Europe:Serbian Croatia:Zagreb:Europe:Croatian "
    "Ukraine:Kiev:Europe:Ukrainian Russia:Moscow:Europe:Russian Japan:Tokyo:Asia:Japanese "
    "China:Beijing:Asia:Chinese India:New_Delhi:Asia:Indian Thailand:Bangkok:Asia:Thai "
    "Vietnam:Hanoi:Asia:Vietnamese Iran:Tehran:Asia:Iranian Iraq:Baghdad:Asia:Iraqi "
    "Syria:Damascus:Asia:Syrian "
    "Israel:Jerusalem:Asia:Israeli Jordan:Amman:Asia:Jordanian Lebanon:Beirut:Asia:Lebanese "
    "Pakistan:Islamabad:Asia:Pakistani Afghanistan:Kabul:Asia:Afghan Nepal:Kathmandu:Asia:Nepalese "
    "Indonesia:Jakarta:Asia:Indonesian Philippines:Manila:Asia:Filipino Cambodia:Phnom_Penh:Asia:Cambodian "
    "Bangladesh:Dhaka:Asia:Bangladeshi Mongolia:Ulaanbaatar:Asia:Mongolian South_Korea:Seoul:Asia:Korean "
    "Turkey:Ankara:Asia:Turkish Egypt:Cairo:Africa:Egyptian Kenya:Nairobi:Africa:Kenyan "
    "Nigeria:Abuja:Africa:Nigerian Morocco:Rabat:Africa:Moroccan Ethiopia:Addis_Ababa:Africa:Ethiopian "
    "Ghana:Accra:Africa:Ghanaian Algeria:Algiers:Africa:Algerian Tunisia:Tunis:Africa:Tunisian "
    "Libya:Tripoli:Africa:Libyan Sudan:Khartoum:Africa:Sudanese Uganda:Kampala:Africa:Ugandan "
    "Senegal:Dakar:Africa:Senegalese Somalia:Mogadishu:Africa:Somali Zimbabwe:Harare:Africa:Zimbabwean "
    "Canada:Ottawa:America:Canadian Mexico:Mexico_City:America:Mexican Cuba:Havana:America:Cuban "
    "Brazil:Brasilia:America:Brazilian Peru:Lima:America:Peruvian Chile:Santiago:America:Chilean "
    "Argentina:Buenos_Aires:America:Argentine Colombia:Bogota:America:Colombian "
    "Venezuela:Caracas:America:Venezuelan Ecuador:Quito:America:Ecuadorian Jamaica:Kingston:America:Jamaican "
    "Bolivia:La_Paz:America:Bolivian";
const char words_languages[] =
    "France:French Germany:German Italy:Italian Spain:Spanish Portugal:Portuguese Greece:Greek "
    "England:English "
    "Ireland:English Scotland:English Norway:Norwegian Sweden:Swedish Denmark:Danish Finland:Finnish "
    "Iceland:Icelandic Poland:Polish Austria:German Hungary:Hungarian Netherlands:Dutch Romania:Romanian "
    "Bulgaria:Bulgarian Serbia:Serbian Croatia:Croatian Ukraine:Ukrainian Russia:Russian Japan:Japanese "
    "China:Chinese India:Hindi Thailand:Thai Vietnam:Vietnamese Iran:Persian Iraq:Arabic Syria:Arabic "
    "Israel:Hebrew Jordan:Arabic Lebanon:Arabic Pakistan:Urdu Nepal:Nepali Indonesia:Indonesian "
    "Bangladesh:Bengali Mongolia:Mongolian South_Korea:Korean North_Korea:Korean Turkey:Turkish Egypt:Arabic "
    "Kenya:Swahili Tanzania:Swahili Morocco:Arabic Algeria:Arabic Tunisia:Arabic Libya:Arabic Sudan:Arabic "
    "Yemen:Arabic Saudi_Arabia:Arabic Kuwait:Arabic Qatar:Arabic Oman:Arabic Senegal:French "
    "Australia:English "
    "New_Zealand:English Jamaica:English America:English Brazil:Portuguese Angola:Portuguese Mexico:Spanish "
    "Cuba:Spanish Peru:Spanish Chile:Spanish Argentina:Spanish Colombia:Spanish Venezuela:Spanish "
    "Ecuador:Spanish Bolivia:Spanish Uruguay:Spanish Paraguay:Spanish Panama:Spanish Honduras:Spanish "
    "Nicaragua:Spanish Guatemala:Spanish Costa_Rica:Spanish";
const char words_opposites[] =
    "hot:cold big:small fast:slow happy:sad light:dark old:new rich:poor strong:weak high:low long:short "
    "early:late full:empty open:closed wet:dry hard:soft loud:quiet clean:dirty good:bad near:far left:right "
    "up:down true:false win:lose buy:sell start:stop love:hate push:pull day:night black:white easy:hard "
    "thick:thin sweet:sour deep:shallow tight:loose cold:hot small:big slow:fast sad:happy dark:light "
    "young:old "
    "poor:rich weak:strong low:high short:long late:early empty:full closed:open dry:wet soft:hard "
    "quiet:loud "
    "dirty:clean bad:good far:near right:left down:up false:true lose:win sell:buy stop:start hate:love "
    "pull:push "
    "night:day white:black thin:thick sour:sweet loose:tight first:last last:first inside:outside "
    "outside:inside "
    "above:below below:above before:after after:before always:never never:always front:back back:front "
    "top:bottom "
    "bottom:top north:south south:north east:west west:east man:woman woman:man boy:girl girl:boy king:queen "
    "queen:king brother:sister sister:brother father:mother mother:father husband:wife wife:husband "
    "uncle:aunt "
    "give:take yes:no no:yes come:go friend:enemy enemy:friend success:failure failure:success war:peace "
    "peace:war life:death death:life question:answer beginning:end entrance:exit more:less less:more "
    "cheap:expensive "
    "heavy:light smooth:rough public:private guilty:innocent minimum:maximum maximum:minimum summer:winter "
    "winter:summer positive:negative negative:positive male:female female:male sunrise:sunset";
const char words_french[] =
    "dog:chien cat:chat house:maison water:eau bread:pain red:rouge one:un two:deux three:trois four:quatre "
    "five:cinq ten:dix book:livre good:bon day:jour night:nuit man:homme woman:femme milk:lait black:noir "
    "white:blanc friend:ami school:école car:voiture green:vert blue:bleu yellow:jaune sun:soleil moon:lune "
    "king:roi queen:reine hand:main head:tête heart:coeur door:porte window:fenêtre tree:arbre flower:fleur "
    "apple:pomme cheese:fromage wine:vin meat:viande fish:poisson bird:oiseau horse:cheval cow:vache sea:mer "
    "sky:ciel earth:terre fire:feu city:ville street:rue table:table chair:chaise bed:lit father:père "
    "mother:mère brother:frère sister:soeur son:fils daughter:fille child:enfant year:an month:mois "
    "week:semaine "
    "time:temps life:vie love:amour death:mort war:guerre peace:paix work:travail money:argent big:grand "
    "small:petit new:nouveau young:jeune beautiful:beau yes:oui no:non hello:bonjour thanks:merci snow:neige";
const char words_nouns[] =
    "cat:cats dog:dogs box:boxes child:children man:men woman:women mouse:mice foot:feet tooth:teeth "
    "city:cities "
    "baby:babies leaf:leaves knife:knives bus:buses dish:dishes car:cars tree:trees book:books party:parties "
    "wolf:wolves house:houses tomato:tomatoes story:stories glass:glasses watch:watches fox:foxes bird:birds "
    "table:tables country:countries potato:potatoes apple:apples river:rivers stone:stones cloud:clouds "
    "window:windows bottle:bottles doctor:doctors button:buttons finger:fingers island:islands "
    "bridge:bridges "
    "flower:flowers key:keys map:maps door:doors chair:chairs horse:horses phone:phones clock:clocks "
    "train:trains beach:beaches field:fields hill:hills lake:lakes road:roads room:rooms star:stars "
    "street:streets "
    "tower:towers wall:walls school:schools letter:letters farm:farms king:kings ship:ships boat:boats "
    "church:churches peach:peaches bench:benches lunch:lunches family:families lady:ladies fly:flies "
    "berry:berries puppy:puppies wife:wives shelf:shelves class:classes dress:dresses kiss:kisses "
    "wish:wishes "
    "brush:brushes hero:heroes toy:toys boy:boys girl:girls day:days monkey:monkeys teacher:teachers "
    "student:students cup:cups hat:hats pen:pens egg:eggs shoe:shoes cow:cows garden:gardens ticket:tickets "
    "doll:dolls lamp:lamps song:songs game:games friend:friends uncle:uncles cousin:cousins village:villages "
    "picture:pictures bag:bags";
const char words_verbs[] =
    "go:goes:went:going eat:eats:ate:eating run:runs:ran:running see:sees:saw:seeing take:takes:took:taking "
    "make:makes:made:making walk:walks:walked:walking jump:jumps:jumped:jumping play:plays:played:playing "
    "write:writes:wrote:writing sing:sings:sang:singing swim:swims:swam:swimming drink:drinks:drank:drinking "
    "buy:buys:bought:buying think:thinks:thought:thinking bring:brings:brought:bringing "
    "teach:teaches:taught:teaching catch:catches:caught:catching find:finds:found:finding "
    "give:gives:gave:giving "
    "know:knows:knew:knowing grow:grows:grew:growing fly:flies:flew:flying drive:drives:drove:driving "
    "speak:speaks:spoke:speaking break:breaks:broke:breaking open:opens:opened:opening "
    "close:closes:closed:closing help:helps:helped:helping look:looks:looked:looking "
    "talk:talks:talked:talking "
    "ask:asks:asked:asking sleep:sleeps:slept:sleeping keep:keeps:kept:keeping leave:leaves:left:leaving "
    "meet:meets:met:meeting pay:pays:paid:paying say:says:said:saying sell:sells:sold:selling "
    "tell:tells:told:telling work:works:worked:working call:calls:called:calling want:wants:wanted:wanting "
    "need:needs:needed:needing start:starts:started:starting wait:waits:waited:waiting "
    "clean:cleans:cleaned:cleaning cook:cooks:cooked:cooking dance:dances:danced:dancing "
    "laugh:laughs:laughed:laughing smile:smiles:smiled:smiling watch:watches:watched:watching "
    "wash:washes:washed:washing paint:paints:painted:painting climb:climbs:climbed:climbing "
    "push:pushes:pushed:pushing pull:pulls:pulled:pulling kick:kicks:kicked:kicking "
    "visit:visits:visited:visiting "
    "travel:travels:traveled:traveling enjoy:enjoys:enjoyed:enjoying stay:stays:stayed:staying "
    "carry:carries:carried:carrying study:studies:studied:studying cry:cries:cried:crying "
    "love:loves:loved:loving live:lives:lived:living move:moves:moved:moving use:uses:used:using "
    "bake:bakes:baked:baking smoke:smokes:smoked:smoking stop:stops:stopped:stopping "
    "plan:plans:planned:planning "
    "drop:drops:dropped:dropping learn:learns:learned:learning listen:listens:listened:listening "
    "answer:answers:answered:answering follow:follows:followed:following "
    "remember:remembers:remembered:remembering "
    "stand:stands:stood:standing feel:feels:felt:feeling hold:holds:held:holding hear:hears:heard:hearing "
    "lose:loses:lost:losing send:sends:sent:sending build:builds:built:building fall:falls:fell:falling "
    "win:wins:won:winning wear:wears:wore:wearing ride:rides:rode:riding throw:throws:threw:throwing "
    "choose:chooses:chose:choosing forget:forgets:forgot:forgetting dream:dreams:dreamed:dreaming "
    "fix:fixes:fixed:fixing miss:misses:missed:missing finish:finishes:finished:finishing "
    "shout:shouts:shouted:shouting count:counts:counted:counting touch:touches:touched:touching "
    "join:joins:joined:joining plant:plants:planted:planting rest:rests:rested:resting "
    "turn:turns:turned:turning "
    "return:returns:returned:returning show:shows:showed:showing knock:knocks:knocked:knocking "
    "happen:happens:happened:happening arrive:arrives:arrived:arriving";
const char words_adjectives[] =
    "tall:taller:tallest small:smaller:smallest fast:faster:fastest slow:slower:slowest old:older:oldest "
    "young:younger:youngest cold:colder:coldest warm:warmer:warmest hot:hotter:hottest big:bigger:biggest "
    "thin:thinner:thinnest fat:fatter:fattest sad:sadder:saddest wet:wetter:wettest happy:happier:happiest "
    "easy:easier:easiest busy:busier:busiest funny:funnier:funniest pretty:prettier:prettiest "
    "heavy:heavier:heaviest dirty:dirtier:dirtiest early:earlier:earliest angry:angrier:angriest "
    "hungry:hungrier:hungriest lazy:lazier:laziest lucky:luckier:luckiest good:better:best bad:worse:worst "
    "long:longer:longest short:shorter:shortest high:higher:highest low:lower:lowest "
    "strong:stronger:strongest "
    "weak:weaker:weakest hard:harder:hardest soft:softer:softest loud:louder:loudest quiet:quieter:quietest "
    "clean:cleaner:cleanest cheap:cheaper:cheapest rich:richer:richest poor:poorer:poorest "
    "dark:darker:darkest "
    "light:lighter:lightest bright:brighter:brightest deep:deeper:deepest wide:wider:widest "
    "large:larger:largest "
    "nice:nicer:nicest safe:safer:safest late:later:latest brave:braver:bravest wise:wiser:wisest "
    "strange:stranger:strangest smart:smarter:smartest sweet:sweeter:sweetest thick:thicker:thickest "
    "great:greater:greatest kind:kinder:kindest new:newer:newest near:nearer:nearest sharp:sharper:sharpest "
    "smooth:smoother:smoothest rough:rougher:roughest fresh:fresher:freshest cool:cooler:coolest "
    "calm:calmer:calmest simple:simpler:simplest noisy:noisier:noisiest sunny:sunnier:sunniest "
    "dry:drier:driest "
    "tiny:tinier:tiniest narrow:narrower:narrowest clever:cleverer:cleverest";
const char words_actions[] =
    "walk:walks:walked:to_school read:reads:read:a_book play:plays:played:the_piano cook:cooks:cooked:dinner "
    "drive:drives:drove:a_car write:writes:wrote:letters sing:sings:sang:a_song "
    "paint:paints:painted:the_house "
    "feed:feeds:fed:the_cat open:opens:opened:the_door close:closes:closed:the_window drink:drinks:drank:tea "
    "eat:eats:ate:an_apple buy:buys:bought:bread wash:washes:washed:the_car clean:cleans:cleaned:the_kitchen "
    "watch:watches:watched:a_movie visit:visits:visited:the_museum climb:climbs:climbed:the_hill "
    "bake:bakes:baked:a_cake call:calls:called:the_doctor help:helps:helped:a_friend "
    "learn:learns:learned:French "
    "ride:rides:rode:a_horse catch:catches:caught:a_fish find:finds:found:the_key lose:loses:lost:the_game "
    "sell:sells:sold:the_house build:builds:built:a_boat plant:plants:planted:a_tree "
    "play:plays:played:football "
    "carry:carries:carried:the_box fix:fixes:fixed:the_roof draw:draws:drew:a_picture wear:wears:wore:a_hat "
    "answer:answers:answered:the_phone swim:swims:swam:in_the_lake sleep:sleeps:slept:on_the_sofa "
    "dance:dances:danced:at_the_party work:works:worked:in_the_garden";
const char words_reviewed[] = "movie food hotel book service soup music show concert trip room meal game "
                              "teacher weather party coffee song "
                              "staff pizza phone story play view visit museum";
const char words_pleasing[] = "wonderful great amazing excellent fantastic lovely superb brilliant "
                              "delightful perfect awesome beautiful "
                              "outstanding terrific marvelous charming enjoyable fabulous";
const char words_displeasing[] = "terrible awful horrible bad disappointing dreadful poor disgusting boring "
                                 "useless ugly annoying unpleasant "
                                 "pathetic lousy miserable dull ridiculous";
const char words_goods[] = "apples cars books birds hats shoes cups boxes flowers balls chairs boats dogs "
                           "cats horses fish bags lamps "
                           "kites bikes coats stones pens cakes toys plates doors tents";
const char words_deals[] = "bought saw found sold painted lost drew took wanted brought";
const char words_amounts[] = "two three four five six seven eight nine ten twelve";

const char words_months[] =
    "January February March April May June July August September October November December";
const char words_surnames[] =
    "Smith Jones Taylor Brown Wilson Johnson Walker Wright Robinson Thompson Hughes Edwards Green Hall Lewis "
    "Harris "
    "Clarke Jackson Turner Hill Cooper Morris Ward Moore King Baker Scott Young Allen Mitchell";
const char words_extensions[] = "txt pdf doc jpg png zip mp3 csv html json exe xml";
const char words_small[] =
    "ant bee mouse spider coin pen key button ring egg spoon pea nut grape cherry needle nail stamp pill fly "
    "seed marble match dice bean";
const char words_large[] = "elephant whale house train ship truck mountain bridge castle airplane bus horse "
                           "church tree tower giraffe "
                           "hippo factory stadium palace hospital island camel tractor hotel";
const char words_couples[] =
    "salt_and:pepper bread_and:butter knife_and:fork black_and:white mother_and:father brother_and:sister "
    "husband_and:wife king_and:queen day_and:night sun_and:moon cats_and:dogs fish_and:chips bacon_and:eggs "
    "boys_and:girls ladies_and:gentlemen up_and:down left_and:right war_and:peace life_and:death "
    "love_and:hate "
    "rock_and:roll thunder_and:lightning needle_and:thread lock_and:key hammer_and:nail cup_and:saucer "
    "table_and:chairs pen_and:paper shoes_and:socks hands_and:feet bride_and:groom Adam_and:Eve "
    "Romeo_and:Juliet heaven_and:hell good_and:evil right_and:wrong buy_and:sell stop_and:go trial_and:error "
    "peanut_butter_and:jelly macaroni_and:cheese rich_and:poor young_and:old north_and:south east_and:west "
    "old_and:new hot_and:cold yes_and:no in_and:out back_and:forth supply_and:demand questions_and:answers "
    "sugar_and:spice milk_and:honey land_and:sea body_and:soul safe_and:sound wait_and:see "
    "hide_and:seek Tom_and:Jerry profit_and:loss time_and:space crime_and:punishment";
const char words_questions[] =
    "What_color_is_the_sky?:blue What_color_is_grass?:green What_color_is_snow?:white "
    "What_color_is_a_banana?:yellow What_color_is_blood?:red What_is_the_capital_of_France?:Paris "
    "What_is_the_capital_of_England?:London What_is_the_capital_of_Italy?:Rome "
    "What_is_the_capital_of_Japan?:Tokyo What_is_the_opposite_of_hot?:cold "
    "What_is_the_opposite_of_big?:small What_is_the_opposite_of_day?:night What_do_cows_give_us?:milk "
    "What_do_bees_make?:honey What_do_we_breathe?:air What_do_we_drink?:water What_falls_from_clouds?:rain "
    "What_shines_in_the_day?:sun What_shines_at_night?:moon What_animal_barks?:dog What_animal_meows?:cat "
    "What_animal_gives_us_wool?:sheep What_animal_has_a_trunk?:elephant What_animal_has_stripes?:zebra "
    "Who_flies_a_plane?:pilot Who_teaches_at_school?:teacher Who_bakes_bread?:baker Who_grows_food?:farmer "
    "What_do_you_see_with?:eyes What_do_you_hear_with?:ears What_do_you_smell_with?:nose "
    "What_do_you_write_with?:pen What_do_you_cut_with?:knife What_opens_a_lock?:key "
    "What_tells_the_time?:clock What_comes_after_Monday?:Tuesday What_comes_after_Friday?:Saturday "
    "What_month_follows_May?:June What_month_follows_January?:February What_season_follows_winter?:spring "
    "What_season_is_coldest?:winter What_season_is_hottest?:summer What_is_frozen_water?:ice "
    "What_planet_do_we_live_on?:Earth What_planet_is_red?:Mars What_language_do_Germans_speak?:German "
    "What_language_do_Italians_speak?:Italian "
    "What_do_birds_lay?:eggs What_do_fish_swim_in?:water What_is_a_baby_dog?:puppy "
    "What_is_a_baby_cat?:kitten "
    "Where_do_fish_live?:water What_do_we_sleep_in?:bed What_do_we_wear_on_feet?:shoes "
    "What_do_we_wear_on_the_head?:hat What_is_the_king's_wife_called?:queen What_is_cheese_made_from?:milk "
    "What_is_bread_made_from?:flour What_is_wine_made_from?:grapes";
const char words_series[] =
    "Monday_Tuesday:Wednesday Tuesday_Wednesday:Thursday Wednesday_Thursday:Friday Thursday_Friday:Saturday "
    "Friday_Saturday:Sunday Saturday_Sunday:Monday Sunday_Monday:Tuesday January_February:March "
    "February_March:April March_April:May April_May:June May_June:July June_July:August "
    "July_August:September "
    "August_September:October September_October:November October_November:December November_December:January "
    "December_January:February one_two_three:four two_three_four:five three_four_five:six "
    "four_five_six:seven "
    "five_six_seven:eight six_seven_eight:nine seven_eight_nine:ten first_second:third second_third:fourth "
    "third_fourth:fifth ten_twenty_thirty:forty spring_summer:autumn A_B_C:D B_C_D:E C_D_E:F D_E_F:G E_F_G:H "
    "F_G_H:I G_H_I:J H_I_J:K I_J_K:L J_K_L:M K_L_M:N L_M_N:O M_N_O:P 1_2_3:4 2_3_4:5 3_4_5:6 4_5_6:7 5_6_7:8 "
    "6_7_8:9 "
    "7_8_9:10 8_9_10:11 10_11_12:13 12_13_14:15 15_16_17:18 18_19_20:21 20_21_22:23 24_25_26:27 30_31_32:33 "
    "2_4_6:8 4_6_8:10 6_8_10:12 8_10_12:14 10_12_14:16 5_10_15:20 10_15_20:25 10_20_30:40 20_30_40:50 "
    "30_40_50:60 40_50_60:70 50_60_70:80 100_200_300:400 1_3_5:7 3_5_7:9 5_7_9:11";

int words_count(const char *table) {
    int n = 1;
    for (const char *p = table; *p; p++) n += *p == ' ';
    return n;
}

void words_get(const char *table, int entry, int field, char out[WORDS_FIELD]) {
    const char *p = table;
    for (; entry > 0 && *p; p++) entry -= *p == ' ';
    for (; field > 0 && *p && *p != ' '; p++) field -= *p == ':';
    size_t n = 0;
    for (; *p && *p != ' ' && *p != ':' && n + 1 < WORDS_FIELD; p++) out[n++] = *p == '_' ? ' ' : *p;
    out[n] = '\0';
}
